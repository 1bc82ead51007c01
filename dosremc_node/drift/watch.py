"""Watching a scanner: two charts over its exams, and how far its scores lie from the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dosremc_node.drift.charts import Chart, Signal, chart_for, normal_scores, standardised_share
from dosremc_node.drift.distances import ks_distance, population_stability_index
from dosremc_node.drift.reference import ExamScores, Reference, Values

RUN_LENGTH = 5000
"""Exams between two false alarms of a scanner, in the mean: about four months of a site that takes 60 a day."""
ALLOWANCE = 0.25
"""Half of the smallest shift that is worth an alarm soon, in standard deviations."""

SIGNALS: Mapping[str, Signal] = {"logit": normal_scores, "flagged": standardised_share}


@dataclass(frozen=True, slots=True)
class Alarm:
    """``chart`` alarmed at the exam of this index."""

    chart: str
    exam: int


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """The charts of a scanner key, made for its reference. Both together alarm falsely once in ``run_length`` exams."""

    reference: Reference
    charts: Mapping[str, Chart]

    @classmethod
    def over(cls, reference: Reference, *, run_length: float = RUN_LENGTH, seed: int = 0) -> Watch:
        """Two charts that alarm independently, at worst, share the run length, so each gets twice as long a one; and half as much again,
        because a limit that is simulated from one reference is itself uncertain.
        """
        charts = {
            name: chart_for(signal, _charted(reference.exams, name), allowance=ALLOWANCE, run_length=3 * run_length, seed=seed)
            for name, signal in SIGNALS.items()
        }
        return cls(reference, charts)

    def alarm(self, live: ExamScores) -> Alarm | None:
        """The first alarm of any chart; None where none alarms."""
        alarms = [Alarm(name, exam) for name, chart in self.charts.items() if (exam := chart.alarm(self.signal(live, name))) is not None]
        return min(alarms, key=lambda alarm: alarm.exam, default=None)

    def signal(self, live: ExamScores, chart: str) -> Values:
        """What a chart adds up: each exam's distance from the reference in its standard deviations."""
        return SIGNALS[chart](_charted(self.reference.exams, chart), _charted(live, chart))

    def distances(self, live: ExamScores) -> dict[str, float]:
        """How far the scores of ``live`` lie from the reference's."""
        gap, p = ks_distance(self.reference.exams.logits, live.logits)
        return {"psi": population_stability_index(self.reference.exams.logits, live.logits), "ks": gap, "ks_p": p}


def _charted(exams: ExamScores, chart: str) -> Values:
    return {"logit": exams.logits, "flagged": exams.flagged}[chart]
