"""Whether a scanner still scores as it did: what can be told without knowing who has cancer, and how sure one may be of what moved.

Everything is held against a reference, exams of the same scanner key that were frozen while all was well (`frozen`). `scanner` looks at one
key, `verdict` tells a change of the women from one of the imaging. The room needs numpy alone, so that a serving node can watch itself.
"""

from dosremc_node.drift.charts import Chart, chart_for, normal_scores, standardised_share
from dosremc_node.drift.distances import ks_distance, population_stability_index, weighted_ks_distance
from dosremc_node.drift.frozen import FrozenPeriod, content_of, freeze_period, thawed
from dosremc_node.drift.label_free import ExpectedPerformance, expected_performance
from dosremc_node.drift.moments import LayerDistance, Traces, bank_distances, trace, traces_differ
from dosremc_node.drift.period import Period, breasts, period
from dosremc_node.drift.reference import ExamScores, Reference
from dosremc_node.drift.scanner import KeyReport, Reading, Scanner, Serving, look_at, readings, report, verdict_on
from dosremc_node.drift.tracing import TraceBook
from dosremc_node.drift.verdict import Verdict, VerdictKind, verdict
from dosremc_node.drift.watch import Alarm, Watch

__all__ = [
    "Alarm",
    "Chart",
    "ExamScores",
    "ExpectedPerformance",
    "FrozenPeriod",
    "KeyReport",
    "LayerDistance",
    "Period",
    "Reading",
    "Reference",
    "Scanner",
    "Serving",
    "TraceBook",
    "Traces",
    "Verdict",
    "VerdictKind",
    "Watch",
    "bank_distances",
    "breasts",
    "chart_for",
    "content_of",
    "expected_performance",
    "freeze_period",
    "ks_distance",
    "look_at",
    "normal_scores",
    "period",
    "population_stability_index",
    "readings",
    "report",
    "standardised_share",
    "thawed",
    "trace",
    "traces_differ",
    "verdict",
    "verdict_on",
    "weighted_ks_distance",
]
