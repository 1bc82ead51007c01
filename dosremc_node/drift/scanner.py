"""One scanner key looked at: what it scores now, held against its frozen reference, and what follows."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np

from dosremc_node.drift.charts import Chart, normal_scores, standardised_share
from dosremc_node.drift.frozen import FrozenPeriod, thawed
from dosremc_node.drift.label_free import ExpectedPerformance, expected_performance
from dosremc_node.drift.mix import shares
from dosremc_node.drift.moments import LayerDistance, Statistics, Traces, image_signal, layer_scores
from dosremc_node.drift.period import Period, breasts, period
from dosremc_node.drift.reference import SMALLEST_REFERENCE, Values
from dosremc_node.drift.tracing import TraceBook
from dosremc_node.drift.verdict import Verdict, VerdictKind, verdict
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.drift import AlarmKind, FrozenReference, alarms, references
from dosremc_node.ledger.exams import AssessedExam, examined, studies_left_out
from dosremc_node.records import BankId, OperatingPoint, StudyId

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True, eq=False)
class Serving:
    """What scores a scanner key now; ``statistics`` is the bank that is in force for it."""

    scanner_key: str
    release_id: str
    preprocessing_sha256: str
    bank: BankId
    point: OperatingPoint
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class Reading:
    """A chart at the last exam: its sum and its limit, and how far into the live exams (or measured images) it alarmed first."""

    sum: float
    limit: float
    alarm: int | None


@dataclass(frozen=True, slots=True)
class KeyReport:
    """All that is told of a scanner key without labels. Shares are of exams (``flagged``) or of images (``views``, ``left_out``).

    ``reference`` is None where nothing is frozen for this key under the bank that scores it now. ``layers`` say how far the latest measured
    images lie from the bank, ``layer_scores`` how far from the reference's images, in standard errors.
    """

    scanner_key: str
    domain: str
    release_id: str
    bank_sha256: str
    exams: int
    in_shadow: float
    first_taken_on: date | None
    last_taken_on: date | None
    reference: Mapping[str, object] | None
    recent_exams: int
    quantiles: Mapping[str, float]
    flagged: float
    charts: Mapping[AlarmKind, Reading]
    images_measured: int
    layers: Mapping[str, LayerDistance]
    layer_scores: Mapping[str, float]
    views: Mapping[str, float]
    left_out: Mapping[str, float]
    ages: Mapping[str, float]
    expected: ExpectedPerformance | None
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class Scanner:
    """The exams of a scanner key under the bank that scores it now, in the order in which they were taken.

    ``live`` are those after its reference, or all where there is none; ``unscored`` those of which no image was scored. ``exams`` are all
    that were read.
    """

    serving: Serving
    exams: Sequence[AssessedExam]
    live: Sequence[AssessedExam]
    unscored: Sequence[AssessedExam]
    frozen: FrozenPeriod | None
    kept: FrozenReference | None
    book: TraceBook
    left_out: frozenset[StudyId]
    other: Period | None
    """The reference of another scanner of the domain, under the same bank, where this one has none."""
    restarted: Mapping[AlarmKind, date]

    @cached_property
    def reference(self) -> Period | None:
        """Without women who have objected since it was frozen."""
        return self.frozen.period(self.left_out) if self.frozen else None

    @cached_property
    def live_period(self) -> Period:
        return self.period_of(self.live)

    def recent(self, exams: int) -> Period:
        """The latest live ones, and what could not be scored since the first of them."""
        latest = self.live[-exams:]
        unscored = [exam for exam in self.unscored if latest and exam.taken_on >= latest[0].taken_on]
        reasons = Counter(reason.value for exam in unscored for reason in exam.not_assessed)
        found = self.period_of(latest)
        return replace(found, left_out=reasons + Counter(found.left_out))

    def period_of(self, exams: Sequence[AssessedExam]) -> Period:
        """Some of the exams as the reference's operating point judges them, or, without one, that in force."""
        return self._judged(exams, self.frozen.point if self.frozen else self.serving.point)

    def as_judged_now(self, exams: Sequence[AssessedExam]) -> Period:
        """The same under the operating point in force, from which a new reference is made."""
        return self._judged(exams, self.serving.point)

    def _judged(self, exams: Sequence[AssessedExam], point: OperatingPoint) -> Period:
        return period(exams, point).with_traces(self.book.of({exam.study_id for exam in exams}))


def look_at(ledger: Ledger, serving: Serving, book: TraceBook | None = None, *, whole: bool = True) -> Scanner:
    """Read what there is of a scanner key. A ``book`` from an earlier look saves reading its measured images again, and without ``whole``
    the exams before the last day of its reference are not read.
    """
    book = book or TraceBook(serving.scanner_key, serving.bank.sha256, serving.statistics)
    book.read_on(ledger)
    left_out, in_force = studies_left_out(ledger), references(ledger)
    kept = in_force.get(serving.scanner_key)
    frozen = thawed(kept.content) if kept and _holds(kept, serving) else None
    # Scores that are now to be read as others than when they were frozen need a reference of their own.
    if frozen is None or frozen.point.alignment != serving.point.alignment:
        kept = frozen = None
    found = examined(ledger, scanner_key=serving.scanner_key, since=kept.last_taken_on if kept and not whole else None)
    exams = [exam for exam in found if exam.images and exam.bank_sha256 == serving.bank.sha256]
    return Scanner(
        serving=serving,
        exams=exams,
        live=_after(exams, frozen, kept),
        unscored=[exam for exam in found if not exam.images],
        frozen=frozen,
        kept=kept,
        book=book,
        left_out=left_out,
        other=None if kept else _of_another(in_force, serving, left_out),
        restarted=_restarted(ledger, serving.scanner_key),
    )


def _holds(kept: FrozenReference, serving: Serving) -> bool:
    return (kept.bank_sha256, kept.preprocessing_sha256) == (serving.bank.sha256, serving.preprocessing_sha256)


def _after(exams: Sequence[AssessedExam], frozen: FrozenPeriod | None, kept: FrozenReference | None) -> Sequence[AssessedExam]:
    if frozen is None or kept is None:
        return exams
    there = set(frozen.studies)
    return [exam for exam in exams if exam.taken_on >= kept.last_taken_on and exam.study_id not in there]


def _of_another(in_force: Mapping[str, FrozenReference], serving: Serving, left_out: frozenset[StudyId]) -> Period | None:
    found = [each for each in in_force.values() if each.domain == serving.bank.domain and _holds(each, serving)]
    return thawed(found[0].content).period(left_out) if found else None


def _restarted(ledger: Ledger, scanner_key: str) -> Mapping[AlarmKind, date]:
    """From which day on each chart began anew, because a person has seen to its alarm."""
    settled = [each for each in alarms(ledger, settled=True) if each.scanner_key == scanner_key and each.settled_at]
    return {each.kind: each.settled_at.date() for each in settled if each.settled_at}


# --- What is read off -------------------------------------------------------------------------------------------------


def report(scanner: Scanner, recent_exams: int) -> KeyReport:
    """Everything at once; ``recent_exams`` of the latest are held against the reference."""
    serving, exams, recent = scanner.serving, scanner.exams, scanner.recent(recent_exams)
    logits = recent.scores.logits
    return KeyReport(
        scanner_key=serving.scanner_key,
        domain=serving.bank.domain,
        release_id=serving.release_id,
        bank_sha256=serving.bank.sha256,
        exams=len(exams),
        in_shadow=float(np.mean([exam.in_shadow for exam in exams])) if exams else 0.0,
        first_taken_on=exams[0].taken_on if exams else None,
        last_taken_on=exams[-1].taken_on if exams else None,
        reference=_about(scanner.kept),
        recent_exams=len(recent),
        quantiles=_quantiles(logits),
        flagged=float(recent.scores.flagged.mean()) if len(recent) else 0.0,
        charts=readings(scanner),
        images_measured=len(scanner.book.traces),
        layers=scanner.book.distances(),
        layer_scores=_layer_scores(scanner.reference, recent.traces),
        views=shares(recent.views),
        left_out=_left_out(recent),
        ages=_quantiles(recent.ages[~np.isnan(recent.ages)]),
        expected=_expected(scanner.live[-recent_exams:], serving.point),
        verdict=verdict_on(scanner, recent_exams),
    )


def verdict_on(scanner: Scanner, recent_exams: int) -> Verdict:
    """What moved, between the reference and the latest exams: asked before an alignment is proposed, which only `ACQUISITION` allows."""
    reference, recent = scanner.reference, scanner.recent(recent_exams)
    if reference is not None and len(reference) >= SMALLEST_REFERENCE:
        alarmed = any(each.alarm is not None for kind, each in readings(scanner).items() if kind is not AlarmKind.MOMENTS)
        return verdict(reference, recent, alarmed=alarmed)
    if scanner.other is not None:
        return verdict(scanner.other, recent, same_key=False)
    return Verdict(VerdictKind.TOO_FEW, "nothing is frozen to hold it against", {"exams": float(len(recent))})


def readings(scanner: Scanner) -> dict[AlarmKind, Reading]:
    """The charts, run over all exams since the reference, or since a person saw to their last alarm; nothing without a reference."""
    return {kind: _reading(chart, signal_of(scanner, kind)) for kind, chart in (scanner.frozen.charts if scanner.frozen else {}).items()}


def charted_exams(scanner: Scanner, kind: AlarmKind) -> Sequence[AssessedExam]:
    """The live exams, from the day on which the chart began anew."""
    since = scanner.restarted.get(kind, date.min)
    return scanner.live[bisect_left(scanner.live, since, key=lambda exam: exam.taken_on) :]


def signal_of(scanner: Scanner, kind: AlarmKind) -> Values:
    """What a chart adds up: each exam's (or measured image's) distance from the reference, in its standard deviations."""
    reference, charted = scanner.reference, charted_exams(scanner, kind)
    if reference is None or not charted:
        return np.empty(0)
    if kind is AlarmKind.MOMENTS:
        traces = scanner.book.of({exam.study_id for exam in charted})
        return normal_scores(image_signal(reference.traces), image_signal(traces)) if len(traces) else np.empty(0)
    scores = scanner.live_period.scores[-len(charted) :]
    if kind is AlarmKind.FLAGGED:
        return standardised_share(reference.scores.flagged, scores.flagged)
    return normal_scores(reference.scores.logits, scores.logits)


def _reading(chart: Chart, signal: Values) -> Reading:
    if not len(signal):
        return Reading(0.0, chart.limit, None)
    return Reading(float(chart.path(signal)[-1]), chart.limit, chart.alarm(signal))


def _about(kept: FrozenReference | None) -> Mapping[str, object] | None:
    if kept is None:
        return None
    facts = ("exams", "first_taken_on", "last_taken_on", "release_id", "frozen_at", "frozen_by")
    return {name: getattr(kept, name) for name in facts}


def _quantiles(values: Values) -> dict[str, float]:
    return {f"{share:.0%}": float(np.quantile(values, share)) for share in QUANTILES} if len(values) else {}


def _layer_scores(reference: Period | None, recent: Traces) -> dict[str, float]:
    """The larger of a layer's two scores, with its sign."""
    if reference is None or len(reference.traces) < 2 or len(recent) < 2 or reference.traces.layers != recent.layers:
        return {}
    scores = layer_scores(reference.traces, recent)
    return {layer: float(both[np.abs(both).argmax()]) for layer, both in zip(recent.layers, scores, strict=True)}


def _left_out(recent: Period) -> dict[str, float]:
    """Of all images, those with a score included."""
    images = sum(recent.views.values()) + sum(recent.left_out.values())
    return {reason: count / images for reason, count in sorted(recent.left_out.items())}


def _expected(exams: Sequence[AssessedExam], point: OperatingPoint) -> ExpectedPerformance | None:
    return expected_performance(breasts(exams, point)[1], point.threshold) if exams else None
