"""The four generators on live exams: each makes a candidate, a change of one domain with the later exams that it is to be judged by.

Nothing is decided here: the gate judges a candidate, a person approves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from dosremc_node.errors import TooFewExams
from dosremc_node.network.banks import Bank, bank_of, put_bank
from dosremc_node.network.export import import_backbone
from dosremc_node.network.prediction import Network
from dosremc_node.recalibration.alignment import SMALLEST_SAMPLE, align, realign
from dosremc_node.recalibration.bank_statistics import check_consecutive, move_statistics
from dosremc_node.recalibration.calibration import Calibration, calibrate
from dosremc_node.recalibration.change_plan import ChangeKind, ChangePlan
from dosremc_node.recalibration.cohort import Cohort, split_by_events, split_by_exams
from dosremc_node.recalibration.fine_tuning import fine_tune, lesson_of
from dosremc_node.recalibration.live_images import Read, images_of, rescored, with_images
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import Domain, OperatingPoint
from dosremc_node.releases import LoadedRelease

ALIGNMENT_JUDGED_SHARE, STATISTICS_JUDGED_SHARE = 0.5, 0.2
"""How large a part of the exams judges, at the first look at least."""

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """A domain as it stands.

    ``scored_with`` is the domain whose bank scores its exams: itself, or the one that stands in where the release in force has none
    for it. ``reference`` are frozen exams of a scanner that is known to be well, and ``reference_point`` is theirs.
    """

    parent: LoadedRelease
    domain: Domain
    scored_with: Domain
    plan: ChangePlan
    reference: Scores
    reference_point: OperatingPoint

    @property
    def is_new(self) -> bool:
        """Whether the release in force has no bank for it."""
        return self.domain not in self.parent.release.banks

    def point_of(self, scanner_key: str) -> OperatingPoint:
        """The operating point in force of a scanner."""
        points = self.parent.release.operating_points
        return points.get(scanner_key) or points[self.scored_with]

    def network(self) -> Network:
        """The network with the bank that scores the domain now."""
        network = import_backbone(self.parent.backbone())
        put_bank(network, self.parent.bank(self.scored_with), self.scored_with)
        return network


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A change that a generator wants.

    ``operating_points`` are what the new release has instead of, or beside, its parent's, by scanner key or domain; ``bank`` is the domain's,
    None where it stays as it is. ``scanner_key`` is empty where more than one scanner may be touched. ``fitted`` are the exams that it was
    made from, ``judged`` later ones, no woman in both, as what is in force scores them; ``rescored`` are ``judged`` as the candidate does.
    """

    kind: ChangeKind
    domain: Domain
    scanner_key: str
    operating_points: Mapping[str, OperatingPoint]
    bank: Bank | None
    fitted: Cohort
    judged: Cohort
    rescored: Cohort
    calibration: Calibration | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)

    def point_of(self, scanner_key: str, situation: Situation) -> OperatingPoint:
        """The operating point that a scanner would have."""
        points = self.operating_points
        return points.get(scanner_key) or points.get(self.domain) or situation.point_of(scanner_key)


def aligned(situation: Situation, scanner_key: str, cohort: Cohort, judged_until: date | None = None) -> Candidate:
    """The scores of one scanner read as the reference's. ``cohort``: its exams since it scores as it does now, in the shadow for a new one.

    A domain that has no bank yet gets a copy of the one that stands in. Raises `TooFewExams`.
    """
    _needs(cohort, 2 * situation.plan.alignment.exams, "scanner")
    fitted, judged = split_to_align(situation, cohort, judged_until)
    point = align(situation.reference_point, situation.reference, fitted.scores)
    bank = situation.parent.bank(situation.scored_with) if situation.is_new else None
    places = (scanner_key, situation.domain) if situation.is_new else (scanner_key,)
    return Candidate(
        ChangeKind.ALIGNMENT, situation.domain, scanner_key, dict.fromkeys(places, point), bank, fitted, judged, rescored=judged
    )


def split_to_align(situation: Situation, cohort: Cohort, judged_until: date | None) -> tuple[Cohort, Cohort]:
    """What an alignment is made from and judged by. Raises `TooFewExams`."""
    needed = situation.plan.alignment.exams
    return split_by_exams(cohort, needed, needed, judged_until, ALIGNMENT_JUDGED_SHARE)


def split_to_measure(situation: Situation, cohort: Cohort, judged_until: date | None) -> tuple[Cohort, Cohort]:
    """What statistics are measured on and judged by. Raises `TooFewExams`."""
    plan = situation.plan
    return split_by_exams(cohort, plan.statistics.exams, plan.alignment.exams, judged_until, STATISTICS_JUDGED_SHARE)


def calibrated(situation: Situation, scanner_key: str, cohort: Cohort, judged_until: date | None) -> Candidate:
    """Intercept, and slope from enough events on, of one scanner refitted on outcomes. Raises `TooFewEvents`, `TooFewExams`."""
    bounds = situation.plan.calibration
    fitted, judged = split_by_events(cohort, bounds.fitted_events, bounds.judged_events, judged_until)
    found = calibrate(situation.point_of(scanner_key), fitted.scores)
    return Candidate(
        ChangeKind.CALIBRATION,
        situation.domain,
        scanner_key,
        {scanner_key: found.point},
        bank=None,
        fitted=fitted,
        judged=judged,
        rescored=judged,
        calibration=found,
        numbers={"p": found.p, "fitted_events": found.events},
    )


def with_statistics(situation: Situation, cohort: Cohort, taken: int, read: Read, judged_until: date | None = None) -> Candidate:
    """A bank with the statistics of the domain's consecutive exams, and operating points aligned to the reference.

    ``cohort`` are all exams with scores of the interval, ``taken`` is how many its scanners took. Raises `TooFewExams`,
    `ExamsNotConsecutive`.
    """
    plan = situation.plan
    _needs(cohort, plan.statistics.exams + plan.alignment.exams, "interval whose statistics are to be measured")
    there = with_images(cohort, read)
    check_consecutive(there, taken, plan.statistics)
    fitted, judged = split_to_measure(situation, there, judged_until)
    network = situation.network()
    move_statistics(network, images_of(fitted, read), plan.statistics)
    points = _points(
        situation, rescored(fitted, network, read), lambda _, live: align(situation.reference_point, situation.reference, live)
    )
    numbers = {"exams": len(fitted), "images": len(fitted.images), "taken": taken, "missing": taken - len(there)}
    return _with_bank(ChangeKind.STATISTICS, situation, network, points, (fitted, judged), read, numbers)


def fine_tuned(
    situation: Situation,
    cohort: Cohort,
    judged_until: date | None,
    read: Read,
    *,
    checkpoint: Path | None = None,
    progress: Progress = lambda _: None,
) -> Candidate:
    """A bank that learnt from outcomes, and operating points at which as many exams are flagged as now.

    Raises `TooFewEvents`, `TooFewExams`, `FiltersMoved`.
    """
    plan = situation.plan.fine_tuning
    there = with_images(cohort, read)
    fitted, judged = split_by_events(there, plan.fitted_events, plan.judged_events, judged_until)
    network, lesson = situation.network(), lesson_of(fitted, plan)
    fine_tune(network, lesson, plan, read, checkpoint=checkpoint, progress=progress)

    def as_now(scanner_key: str, live: Scores) -> OperatingPoint:
        return realign(situation.point_of(scanner_key), fitted.of_key(scanner_key).scores, live)

    points = _points(situation, rescored(fitted, network, read), as_now)
    numbers = {"fitted_events": fitted.scores.events, "validation_events": lesson.validation.scores.events}
    return _with_bank(ChangeKind.FINE_TUNING, situation, network, points, (fitted, judged), read, numbers)


def _with_bank(  # noqa: PLR0917
    kind: ChangeKind,
    situation: Situation,
    network: Network,
    points: Mapping[str, OperatingPoint],
    parts: tuple[Cohort, Cohort],
    read: Read,
    numbers: Mapping[str, float],
) -> Candidate:
    fitted, judged = parts
    again = rescored(judged, network, read)
    return Candidate(kind, situation.domain, "", points, bank_of(network), fitted, judged, again, numbers=numbers)


def _points(situation: Situation, live: Cohort, point_for: Callable[[str, Scores], OperatingPoint]) -> dict[str, OperatingPoint]:
    """The domain's point under a new bank, and one of its own for each scanner with exams enough; others go by the domain's."""
    points = {str(situation.domain): point_for("", live.scores)}
    keys = sorted({exam.scanner_key for exam in live.exams})
    for key in keys:
        of_key = live.of_key(key)
        enough = len(keys) > 1 and len(of_key) >= SMALLEST_SAMPLE
        if enough or key in situation.parent.release.operating_points:
            points[key] = point_for(key, of_key.scores) if enough else points[situation.domain]
    return points


def _needs(cohort: Cohort, exams: int, what: str) -> None:
    if len(cohort) < exams:
        raise TooFewExams(what=what, exams=len(cohort), needed=exams)
