"""Replay: what the rules would have done on a site's own history, month by month, from scores alone.

The first scanner key of a table is the one that the model is known to do well on: its first exams are the reference, and give the operating
point that all begin with. Another key inherits no threshold: it stays in the shadow until a change of its own has passed. Every later exam is seen in the order of its date; a look at the end of each month sees nothing of the next.
What passes the gate takes effect at once, as if somebody had approved it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from dosremc_node.drift import Reference, Watch
from dosremc_node.errors import TooFewEvents, TooFewExams
from dosremc_node.evaluation import calibrated, platt, threshold_at_specificity
from dosremc_node.recalibration.alignment import align
from dosremc_node.recalibration.calibration import calibrate
from dosremc_node.recalibration.change_plan import ChangeKind, ChangePlan
from dosremc_node.recalibration.comparison import flagged_share
from dosremc_node.recalibration.gate import Decision, judge_alignment, judge_calibration
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import OperatingPoint

SKIPPED = (
    "telling a change of the women from one of the scanner: the table has no age, density or case mix",
    "watching the moments before each batch norm, and statistics from unlabelled exams: both need images",
    "fine-tuning of batch norm and fully connected layer: it needs images",
    "approval by a named person: what passes the gate is taken as approved",
    "selection weights: the table does not say who was recalled or drawn for audit",
)
"""Rules that a table of scores cannot be held to."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a scanner key at the end of ``month`` (YYYY-MM), after so many of its exams."""

    scanner_key: str
    month: str
    exams: int
    what: str
    rule: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replay:
    """What happened, what each key had in force at the end (nothing where it stayed in the shadow), and which rules were skipped."""

    events: tuple[Event, ...]
    operating_points: Mapping[str, OperatingPoint]
    skipped: tuple[str, ...] = SKIPPED


def replay(table: Mapping[str, Scores], plan: ChangePlan, specificity: float, seed: int = 0) -> Replay:
    """Drive the rules over scores by scanner key. ``specificity`` (of images) sets the first threshold.

    Raises `TooFewExams` where the first key has no reference's worth of exams, and `TooFewEvents` where it has no malignant one.
    """
    first = min(table, key=lambda key: table[key].dates[0])
    reference = _reference(table[first], plan)
    point = _first_point(reference, specificity)
    watch = Watch.over(Reference(reference.exam_scores(point)), seed=seed)
    keys = [
        _Key(key, scores, reference, watch, plan, point, settled=0 if key != first else len(reference), in_the_shadow=key != first)
        for key, scores in table.items()
    ]
    events = [event for key in keys for event in key.follow()]
    return Replay(tuple(sorted(events, key=lambda event: event.month)), {key.name: key.point for key in keys if not key.in_the_shadow})


def _reference(scores: Scores, plan: ChangePlan) -> Scores:
    if len(scores) < plan.reference.exams:
        raise TooFewExams(what="reference", exams=len(scores), needed=plan.reference.exams)
    return scores.exams_between(0, plan.reference.exams)


def _first_point(reference: Scores, specificity: float) -> OperatingPoint:
    labelled = reference.labelled()
    if not labelled.events:
        raise TooFewEvents(events=0, needed=1)
    slope, intercept = platt(labelled.logits, labelled.malignant)
    point = OperatingPoint(0.5, slope, intercept)
    threshold = threshold_at_specificity(calibrated(labelled.logits, point), labelled.malignant, specificity)
    return OperatingPoint(threshold, slope, intercept, target=f"{specificity:.0%} specificity per image on the reference")


@dataclass(slots=True)
class _Key:
    """One scanner key on its way through the months. Exams before ``settled`` belong to what was in force before the last change;
    those before ``judged`` have been used by a look.
    """

    name: str
    scores: Scores
    reference: Scores
    watch: Watch
    plan: ChangePlan
    point: OperatingPoint
    settled: int
    in_the_shadow: bool
    judged: int = 0
    alarmed: int | None = None

    def follow(self) -> Iterator[Event]:
        self.judged = self.settled
        months = self.scores.dates.astype("datetime64[M]")
        if self.in_the_shadow:
            yield Event(self.name, str(months[0]), 0, "in the shadow", "a new scanner key inherits no threshold")
        for month in np.unique(months):
            seen = int(self.scores.exams[months <= month][-1]) + 1
            if seen > self.settled:
                for event in self._look(seen):
                    yield Event(self.name, str(month), seen, *event)

    def _look(self, seen: int) -> Iterator[tuple[str, str, Mapping[str, float]]]:
        if self.alarmed is None and (alarm := self._alarm(seen)):
            yield alarm
        if self.alarmed is not None and seen - self.alarmed >= 2 * self.plan.alignment.exams:
            yield self._taken(*self._aligned(seen), seen)
        elif self.alarmed is None and (looked := self._calibrated(seen)):
            yield self._taken(*looked, seen)

    def _alarm(self, seen: int) -> tuple[str, str, Mapping[str, float]] | None:
        """Told from logits as the calibration expects them, so that an alignment that is in force is no drift."""
        live = self.scores.exams_between(self.settled, seen)
        exams = live.with_aligned(self.point).exam_scores(OperatingPoint(self.point.threshold, self.point.slope, self.point.intercept))
        alarm = self.watch.alarm(exams)
        if alarm is None:
            return None
        self.alarmed = self.settled + alarm.exam
        after = exams[alarm.exam :]
        return "alarm", f"the chart of {alarm.chart}", {"after_exams": float(alarm.exam), **self.watch.distances(after)}

    def _aligned(self, seen: int) -> tuple[OperatingPoint, Decision]:
        """Made from the first exams after the alarm, judged by the later ones."""
        first = self.alarmed or 0
        half = first + (seen - first) // 2
        proposal = align(self.point, self.reference, self.scores.exams_between(first, half))
        target = flagged_share(self.reference, OperatingPoint(self.point.threshold, self.point.slope, self.point.intercept))
        return proposal, judge_alignment(self.plan, self.point, proposal, target, self.scores.exams_between(half, seen))

    def _calibrated(self, seen: int) -> tuple[OperatingPoint, Decision] | None:
        """Fitted to what earlier looks have used, judged by what none has; None where there is too little for a look."""
        bounds = self.plan.calibration
        if self.scores.exams_between(self.judged, seen).labelled().events < bounds.judged_events:
            return None
        fitted, held_out = self.scores.exams_between(self.settled, self.judged), self.scores.exams_between(self.judged, seen)
        self.judged = seen
        if fitted.labelled().events < bounds.fitted_events:
            return None
        proposal = calibrate(self.point, fitted)
        return proposal.point, judge_calibration(self.plan, self.point, proposal, held_out)

    def _taken(self, proposal: OperatingPoint, decision: Decision, seen: int) -> tuple[str, str, Mapping[str, float]]:
        if decision.passed:
            self.point, self.settled, self.judged, self.in_the_shadow = proposal, seen, seen, False
        if decision.passed or decision.kind is ChangeKind.ALIGNMENT:
            self.alarmed = None
            self.settled = seen
            self.judged = max(self.judged, seen)
        return f"{decision.kind} {'promoted' if decision.passed else 'refused'}", decision.rule, decision.numbers
