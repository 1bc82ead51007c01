"""Scanners watched by a worker, in a thread of its own: references frozen, alarms raised, and figures left for the metrics.

Everything follows from the ledger's rows, so it does not matter how many workers look, nor how often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from threading import Event

import structlog

from dosremc_node.drift import Scanner, Serving, TraceBook, content_of, freeze_period, look_at, readings, verdict_on
from dosremc_node.drift.scanner import charted_exams
from dosremc_node.drift.verdict import MOVED
from dosremc_node.errors import NodeError, TooFewExams
from dosremc_node.failures import describe
from dosremc_node.ledger import Ledger, audit
from dosremc_node.ledger.drift import (
    AlarmKind,
    FrozenReference,
    alarms,
    freeze,
    frozen_keys,
    keep_figures,
    last_scored_by,
    raise_alarm,
    seen_keys,
)
from dosremc_node.ledger.exams import AssessedExam
from dosremc_node.node import Node
from dosremc_node.records import Domain, OperatingPoint, Release
from dosremc_node.releases import ReleaseShelf
from dosremc_node.settings import DriftSettings

log = structlog.get_logger(__name__)


def serving(ledger: Ledger, shelf: ReleaseShelf, scanner_key: str) -> Serving:
    """What scored the latest exam of a scanner key. Raises `NotWatched`, and what reading a release raises."""
    release_id, domain = last_scored_by(ledger, scanner_key)
    loaded = shelf.load(release_id)
    return Serving(
        scanner_key=scanner_key,
        release_id=release_id,
        preprocessing_sha256=loaded.release.preprocessing_sha256,
        bank=loaded.release.banks[domain],
        point=_point(loaded.release, scanner_key, domain),
        statistics=loaded.bank(domain),
    )


def _point(release: Release, scanner_key: str, domain: Domain) -> OperatingPoint:
    return release.operating_points.get(scanner_key) or release.operating_points[domain]


def freeze_reference(
    ledger: Ledger, scanner: Scanner, chosen: Sequence[AssessedExam], settings: DriftSettings, actor: str
) -> FrozenReference:
    """Freeze exams of a scanner and put them in force as its reference. Raises `TooFewExams`."""
    if len(chosen) < settings.reference_exams:
        raise TooFewExams(what="reference", exams=len(chosen), needed=settings.reference_exams)
    studies, point = [exam.study_id for exam in chosen], scanner.serving.point
    frozen = freeze_period(scanner.as_judged_now(chosen), studies, scanner.book.studies_among(studies), point, settings.run_length)
    kept = FrozenReference(
        scanner_key=scanner.serving.scanner_key,
        domain=scanner.serving.bank.domain,
        release_id=scanner.serving.release_id,
        bank_sha256=scanner.serving.bank.sha256,
        preprocessing_sha256=scanner.serving.preprocessing_sha256,
        exams=len(chosen),
        first_taken_on=chosen[0].taken_on,
        last_taken_on=chosen[-1].taken_on,
        frozen_at=datetime.now(UTC),
        frozen_by=actor,
        content=content_of(frozen),
    )
    freeze(ledger, kept)
    return kept


def figures(scanner: Scanner, recent_exams: int) -> dict[str, float]:
    """What the metrics show of a scanner: a chart as the part of its limit that is reached, so that 1 is an alarm."""
    judged = verdict_on(scanner, recent_exams)
    of_charts = {f"chart {kind}": reading.sum / reading.limit for kind, reading in readings(scanner).items()}
    of_layers = {"bank distance": max((each.larger for each in scanner.book.distances().values()), default=0.0)}
    return {**of_charts, **of_layers, **judged.numbers, "exams": float(len(scanner.live))}


@dataclass
class Watcher:
    """What a process remembers between two looks to save work: nothing that the ledger does not say."""

    ledger: Ledger
    shelf: ReleaseShelf
    settings: DriftSettings
    seen: dict[str, object] = field(default_factory=dict)
    books: dict[tuple[str, str], TraceBook] = field(default_factory=dict)

    def look(self, now: datetime) -> None:
        """Look at every scanner of which something was scored since the last look."""
        for scanner_key, mark in self._marks().items():
            if self.seen.get(scanner_key) == mark:
                continue
            try:
                self._look_at(scanner_key, now)
            except Exception as error:  # noqa: BLE001 - the boundary: one scanner whose release is gone holds up no other
                log.warning("scanner_not_watched", reason=describe(error))
            self.seen[scanner_key] = self._marks()[scanner_key]

    def _marks(self) -> dict[str, object]:
        """By scanner key: what changes when there is something to look at."""
        frozen = frozen_keys(self.ledger)
        return {key.scanner_key: (key, frozen.get(key.scanner_key)) for key in seen_keys(self.ledger)}

    def _look_at(self, scanner_key: str, now: datetime) -> None:
        scanner = self._scanner(scanner_key)
        if not scanner.exams:
            return
        if not self._may_freeze(scanner):
            self._tell_of_new_key(scanner, now)
        elif self.settings.freeze_first and scanner.kept is None:
            scanner = self._frozen_by_itself(scanner)
        raise_alarms(self.ledger, scanner, self.settings, now)
        keep_figures(self.ledger, scanner_key, figures(scanner, self.settings.recent_exams), now)

    def _scanner(self, scanner_key: str) -> Scanner:
        serves = serving(self.ledger, self.shelf, scanner_key)
        book = self.books.setdefault((scanner_key, serves.bank.sha256), TraceBook(scanner_key, serves.bank.sha256, serves.statistics))
        return look_at(self.ledger, serves, book, whole=False)

    def _may_freeze(self, scanner: Scanner) -> bool:
        """Whether this is the scanner that its domain began with, or one that a person has frozen before; any other inherits nothing."""
        key, domain = scanner.serving.scanner_key, scanner.serving.bank.domain
        first = next(seen.scanner_key for seen in seen_keys(self.ledger) if seen.domain == domain)
        return key in frozen_keys(self.ledger) or (first == key and not scanner.exams[-1].in_shadow)

    def _frozen_by_itself(self, scanner: Scanner) -> Scanner:
        """With the first exams that were judged as exams are judged now, once there are enough."""
        alike = {release for release in {exam.release_id for exam in scanner.exams} if self._judges_alike(release, scanner.serving)}
        chosen = [exam for exam in scanner.exams if exam.release_id in alike][: self.settings.reference_exams]
        if len(chosen) < self.settings.reference_exams:
            return scanner
        freeze_reference(self.ledger, scanner, chosen, self.settings, audit.NODE)
        return self._scanner(scanner.serving.scanner_key)

    def _judges_alike(self, release_id: str, now: Serving) -> bool:
        try:
            release = self.shelf.load(release_id).release
        except NodeError:  # a release that is gone cannot be asked
            return False
        domain = now.bank.domain
        return domain in release.banks and _point(release, now.scanner_key, domain) == now.point

    def _tell_of_new_key(self, scanner: Scanner, now: datetime) -> None:
        """Once: another device, or another version of its software."""
        key = scanner.serving.scanner_key
        if not any(each.scanner_key == key and each.kind is AlarmKind.NEW_KEY for each in alarms(self.ledger, settled=True)):
            alarm(self.ledger, scanner, AlarmKind.NEW_KEY, 0, detail={"why": "not seen before in its domain"}, now=now)


def raise_alarms(ledger: Ledger, scanner: Scanner, settings: DriftSettings, now: datetime) -> None:
    """Enter what the charts alarm of, each with what moved as far as it can be told.

    New processing need not move all layers one way, as the chart of measured images expects: the latest ones alarm by themselves too.
    """
    judged = verdict_on(scanner, settings.recent_exams)
    found = {kind: reading.alarm for kind, reading in readings(scanner).items() if reading.alarm is not None}
    if scanner.kept and judged.numbers.get("moments_p", 1.0) < MOVED:
        found.setdefault(AlarmKind.MOMENTS, -1)
    for kind, place in found.items():
        alarm(ledger, scanner, kind, place, detail={"verdict": judged.kind, "why": judged.why, **judged.numbers}, now=now)


def alarm(ledger: Ledger, scanner: Scanner, kind: AlarmKind, place: int, *, detail: Mapping[str, object], now: datetime) -> None:
    """Enter one of a scanner; ``place`` is that of the charted exam (or measured image) which showed it."""
    serves, day = scanner.serving, day_of(scanner, kind, place)
    if raise_alarm(ledger, serves.scanner_key, serves.bank.domain, kind, taken_on=day, detail=detail, now=now):
        log.warning("drift_alarm", kind=kind.value, domain=serves.bank.domain)


def day_of(scanner: Scanner, kind: AlarmKind, place: int) -> date:
    """The day of a chart's exam, or of its measured image."""
    charted = charted_exams(scanner, kind)
    if kind is AlarmKind.MOMENTS:
        studies = scanner.book.studies_among({exam.study_id for exam in charted})
        return next(exam.taken_on for exam in charted if exam.study_id == studies[place])
    return charted[place].taken_on


def keep_watch(node: Node, stop: Event) -> None:
    """Look again and again until ``stop`` is set."""
    settings = node.settings.drift
    watcher = Watcher(node.ledger, node.shelf, settings)
    while not stop.is_set():
        try:
            watcher.look(datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - the boundary: whatever it was, it is tried again at the next look
            log.warning("watching_failed", reason=describe(error))
        stop.wait(settings.interval_minutes * 60)
