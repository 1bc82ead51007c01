"""What scanners are watched by: frozen references, alarms that are raised once, and the latest figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from dosremc_node.errors import NoSuchAlarm, NotWatched
from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.drift_tables import DriftAlarmRow, DriftFiguresRow, DriftReferenceRow
from dosremc_node.ledger.tables import RevisionRow, fitting
from dosremc_node.records import Domain

# --- References -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FrozenReference:
    """Exams of a scanner key, frozen: what drift is told from. ``content`` is the drift room's own JSON."""

    scanner_key: str
    domain: Domain
    release_id: str
    bank_sha256: str
    preprocessing_sha256: str
    exams: int
    first_taken_on: date
    last_taken_on: date
    frozen_at: datetime
    frozen_by: str
    content: str


def freeze(ledger: Ledger, reference: FrozenReference) -> None:
    """Put a reference in force. It ends the key's former one, and settles what that one had alarmed of."""
    key = fitting(DriftReferenceRow.scanner_key, reference.scanner_key)
    with ledger.transaction() as session:
        audit.take_turn(session)
        in_force = update(DriftReferenceRow).where(DriftReferenceRow.scanner_key == key, DriftReferenceRow.ended_at.is_(None))
        session.execute(in_force.values(ended_at=reference.frozen_at))
        for alarm in session.scalars(select(DriftAlarmRow).filter_by(scanner_key=key, settled_at=None)):
            _settle(session, alarm, reference.frozen_by, "a new reference was frozen", reference.frozen_at)
        session.add(
            DriftReferenceRow(
                scanner_key=key,
                domain=reference.domain,
                release_id=reference.release_id,
                bank_sha256=reference.bank_sha256,
                preprocessing_sha256=reference.preprocessing_sha256,
                exams=reference.exams,
                first_taken_on=reference.first_taken_on,
                last_taken_on=reference.last_taken_on,
                content=reference.content,
                frozen_at=reference.frozen_at,
                frozen_by=fitting(DriftReferenceRow.frozen_by, reference.frozen_by),
            )
        )
        facts = {"release": reference.release_id, "bank": reference.bank_sha256, "exams": reference.exams}
        days = {"first": reference.first_taken_on, "last": reference.last_taken_on}
        audit.append(session, reference.frozen_by, "freeze reference", reference.scanner_key, facts | days)


def references(ledger: Ledger) -> Mapping[str, FrozenReference]:
    """The references in force, by scanner key."""
    query = select(DriftReferenceRow).where(DriftReferenceRow.ended_at.is_(None)).order_by(DriftReferenceRow.id)
    with ledger.reading() as session:
        return {row.scanner_key: _reference(row) for row in session.scalars(query)}


def frozen_keys(ledger: Ledger) -> Mapping[str, datetime]:
    """The scanner keys that have or had a reference, with when the latest was frozen."""
    query = select(DriftReferenceRow.scanner_key, DriftReferenceRow.frozen_at).order_by(DriftReferenceRow.id)
    with ledger.reading() as session:
        return {key: frozen_at for key, frozen_at in session.execute(query)}  # noqa: C416 - rows are no tuples to `dict`


def _reference(row: DriftReferenceRow) -> FrozenReference:
    return FrozenReference(
        scanner_key=row.scanner_key,
        domain=Domain(row.domain),
        release_id=row.release_id,
        bank_sha256=row.bank_sha256,
        preprocessing_sha256=row.preprocessing_sha256,
        exams=row.exams,
        first_taken_on=row.first_taken_on,
        last_taken_on=row.last_taken_on,
        frozen_at=row.frozen_at,
        frozen_by=row.frozen_by,
        content=row.content,
    )


# --- Scanner keys -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeenKey:
    """A scanner key that a domain's bank scored: how many revisions, and the numbers of the first and the latest, by which news are told."""

    scanner_key: str
    domain: Domain
    revisions: int
    first: int
    latest: int


def seen_keys(ledger: Ledger) -> Sequence[SeenKey]:
    """Every scanner key of which something was scored, in the order in which they came; once for each domain whose bank did."""
    first, latest = func.min(RevisionRow.id), func.max(RevisionRow.id)
    query = (
        select(RevisionRow.scanner_key, RevisionRow.domain, func.count(), first, latest)
        .where(RevisionRow.assessed_at.is_not(None), RevisionRow.bank_sha256 != "", RevisionRow.scanner_key != "")
        .group_by(RevisionRow.scanner_key, RevisionRow.domain)
        .order_by(first)
    )
    with ledger.reading() as session:
        return [SeenKey(key, Domain(domain), *counts) for key, domain, *counts in session.execute(query)]


def last_scored_by(ledger: Ledger, scanner_key: str) -> tuple[str, Domain]:
    """The release and the domain whose bank scored a scanner key last. Raises `NotWatched`."""
    key = fitting(RevisionRow.scanner_key, scanner_key)
    query = select(RevisionRow.release_id, RevisionRow.domain).where(RevisionRow.scanner_key == key, RevisionRow.bank_sha256 != "")
    with ledger.reading() as session:
        found = session.execute(query.where(RevisionRow.assessed_at.is_not(None)).order_by(RevisionRow.id.desc()).limit(1)).first()
    if found is None:
        raise NotWatched(scanner_key=scanner_key)
    return found.release_id, Domain(found.domain)


# --- Alarms -----------------------------------------------------------------------------------------------------------


class AlarmKind(StrEnum):
    """What alarmed of a scanner."""

    LOGIT = "logit"
    FLAGGED = "flagged"
    MOMENTS = "moments"
    NEW_KEY = "new scanner key"


@dataclass(frozen=True, slots=True)
class DriftAlarm:
    """``taken_on`` is the day of the exam that showed it. ``settled_at`` is None while nobody has seen to it."""

    alarm_id: int
    scanner_key: str
    domain: Domain
    kind: AlarmKind
    taken_on: date
    detail: Mapping[str, Any]
    raised_at: datetime
    settled_at: datetime | None
    settled_by: str
    settled_because: str


def raise_alarm(
    ledger: Ledger, scanner_key: str, domain: Domain, kind: AlarmKind, *, taken_on: date, detail: Mapping[str, object], now: datetime
) -> bool:
    """Enter an alarm; whether it is new: there is one of a kind for each scanner until that is settled."""
    key = fitting(DriftAlarmRow.scanner_key, scanner_key)
    with ledger.transaction() as session:
        audit.take_turn(session)
        if session.scalar(select(DriftAlarmRow.id).filter_by(scanner_key=key, kind=kind.value, settled_at=None)) is not None:
            return False
        text = json.dumps(detail, sort_keys=True, default=str)
        session.add(DriftAlarmRow(scanner_key=key, domain=domain, kind=kind.value, taken_on=taken_on, detail=text, raised_at=now))
        audit.append(session, audit.NODE, "drift alarm", scanner_key, {"kind": kind, "taken_on": taken_on, **detail})
        return True


def settle(ledger: Ledger, alarm_id: int, actor: str, because: str) -> None:
    """A person has seen to an alarm; its chart begins anew with the exams after it. Raises `NoSuchAlarm`."""
    with ledger.transaction() as session:
        row = session.get(DriftAlarmRow, alarm_id, with_for_update=True)
        if row is None or row.settled_at is not None:
            raise NoSuchAlarm(alarm=alarm_id)
        _settle(session, row, actor, because, datetime.now(UTC))


def _settle(session: Session, row: DriftAlarmRow, actor: str, because: str, at: datetime) -> None:
    row.settled_at, row.settled_by, row.settled_because = at, fitting(DriftAlarmRow.settled_by, actor), because
    audit.append(session, actor, "settle drift alarm", row.scanner_key, {"alarm": row.id, "kind": row.kind, "because": because})


def alarms(ledger: Ledger, *, settled: bool = False) -> Sequence[DriftAlarm]:
    """The open alarms, or all there ever were; the oldest first."""
    query = select(DriftAlarmRow).order_by(DriftAlarmRow.id)
    query = query if settled else query.where(DriftAlarmRow.settled_at.is_(None))
    with ledger.reading() as session:
        return [_alarm(row) for row in session.scalars(query)]


def _alarm(row: DriftAlarmRow) -> DriftAlarm:
    return DriftAlarm(
        alarm_id=row.id,
        scanner_key=row.scanner_key,
        domain=Domain(row.domain),
        kind=AlarmKind(row.kind),
        taken_on=row.taken_on,
        detail=json.loads(row.detail),
        raised_at=row.raised_at,
        settled_at=row.settled_at,
        settled_by=row.settled_by,
        settled_because=row.settled_because,
    )


# --- Figures ----------------------------------------------------------------------------------------------------------


def keep_figures(ledger: Ledger, scanner_key: str, figures: Mapping[str, float], now: datetime) -> None:
    """What the last look at a scanner found, in place of the look before."""
    key = fitting(DriftFiguresRow.scanner_key, scanner_key)
    with ledger.transaction() as session:
        session.merge(DriftFiguresRow(scanner_key=key, figures=json.dumps(figures), computed_at=now))


def latest_figures(ledger: Ledger) -> Mapping[str, Mapping[str, float]]:
    """By scanner key."""
    query = select(DriftFiguresRow.scanner_key, DriftFiguresRow.figures).order_by(DriftFiguresRow.scanner_key)
    with ledger.reading() as session:
        return {key: json.loads(figures) for key, figures in session.execute(query)}
