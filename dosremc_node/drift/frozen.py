"""A reference as it is kept: scores and ages of its exams, traces of its images, and the charts that were made for them, which are costly."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dosremc_node.drift.charts import Chart, chart_for, normal_scores
from dosremc_node.drift.moments import Traces, image_signal
from dosremc_node.drift.period import Period
from dosremc_node.drift.reference import ExamScores, Reference
from dosremc_node.drift.watch import ALLOWANCE, Watch
from dosremc_node.ledger.drift import AlarmKind
from dosremc_node.records import OperatingPoint, StudyId, from_json, to_json

FEWEST_CHARTED_TRACES = 30
FEWEST_CHARTED_FLAGS = 10
"""Exams that are flagged in the reference, and that are not: with fewer, the next one would be an alarm."""


@dataclass(frozen=True, slots=True)
class FrozenPeriod:
    """``point`` judged the exams when they were frozen, and judges whatever is held against them. ``traced`` names the study of each trace."""

    studies: tuple[StudyId, ...]
    logits: tuple[float, ...]
    flagged: tuple[bool, ...]
    ages: tuple[int | None, ...]
    views: Mapping[str, int]
    left_out: Mapping[str, int]
    layers: tuple[str, ...]
    traced: tuple[StudyId, ...]
    traces: tuple[tuple[tuple[float, float], ...], ...]
    point: OperatingPoint
    run_length: float
    charts: Mapping[AlarmKind, Chart]

    def period(self, without: Collection[StudyId] = ()) -> Period:
        """The exams, those of women who have objected since left out."""
        kept = np.array([study not in without for study in self.studies], bool)
        traced = [each not in without for each in self.traced]
        ages = np.array([np.nan if age is None else age for age in self.ages], np.float64)
        traces = np.array(self.traces, np.float64).reshape(len(self.traced), len(self.layers), 2)
        return Period(
            ExamScores(np.array(self.logits)[kept], np.array(self.flagged, np.float64)[kept]),
            ages[kept],
            self.views,
            self.left_out,
            Traces(self.layers, traces[traced]),
        )


def freeze_period(
    exams: Period, studies: Sequence[StudyId], traced: Sequence[StudyId], point: OperatingPoint, run_length: float
) -> FrozenPeriod:
    """Make the charts of a period and freeze both. Raises `ReferenceTooSmall`."""
    watch = Watch.over(Reference(exams.scores), run_length=run_length)
    charts = {AlarmKind(name): chart for name, chart in watch.charts.items()}
    if min(exams.scores.flagged.sum(), len(exams) - exams.scores.flagged.sum()) < FEWEST_CHARTED_FLAGS:
        del charts[AlarmKind.FLAGGED]
    if len(exams.traces) >= FEWEST_CHARTED_TRACES:
        charts[AlarmKind.MOMENTS] = _chart_of_traces(exams, run_length)
    return FrozenPeriod(
        studies=tuple(studies),
        logits=tuple(exams.scores.logits.tolist()),
        flagged=tuple(bool(each) for each in exams.scores.flagged),
        ages=tuple(None if np.isnan(age) else int(age) for age in exams.ages),
        views=exams.views,
        left_out=exams.left_out,
        layers=exams.traces.layers,
        traced=tuple(traced),
        traces=tuple(tuple((shift, spread) for shift, spread in each) for each in exams.traces.values.tolist()),
        point=point,
        run_length=run_length,
        charts=charts,
    )


def _chart_of_traces(exams: Period, run_length: float) -> Chart:
    """So many exams between two false alarms, of which only a sample of the images is measured."""
    images = 3 * run_length * len(exams.traces) / len(exams)
    return chart_for(normal_scores, image_signal(exams.traces), allowance=ALLOWANCE, run_length=images)


def thawed(content: str) -> FrozenPeriod:
    """From the ledger's JSON."""
    return from_json(FrozenPeriod, content)


def content_of(frozen: FrozenPeriod) -> str:
    """For the ledger."""
    return to_json(frozen)
