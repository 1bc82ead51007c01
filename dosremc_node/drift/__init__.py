"""Whether a scanner still scores as it did: what can be told without knowing who has cancer.

Everything is held against a `Reference`, exams of the same scanner key that were frozen while all was well. The room needs numpy alone, so
that a serving node can watch itself.
"""

from dosremc_node.drift.charts import Chart, chart_for, normal_scores, standardised_share
from dosremc_node.drift.distances import ks_distance, population_stability_index
from dosremc_node.drift.reference import ExamScores, Reference
from dosremc_node.drift.watch import Alarm, Watch

__all__ = [
    "Alarm", "Chart", "ExamScores", "Reference", "Watch", "chart_for", "ks_distance", "normal_scores", "population_stability_index",
    "standardised_share",
]  # fmt: skip
