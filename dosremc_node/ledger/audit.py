"""The append-only audit trail: who did what to what, each row chained to the one before by its hash.

A chain shows a row that was changed or removed in its midst. That its end was cut off, or all of it written anew, shows by
its *anchors*: sequence number and hash of a row, kept outside this machine (`monitoring.auditor` puts them there).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.tables import AuditRow, StudyRow, fitting

NODE = "node"
"""The actor of what no person asked for."""
RESTORE = "restore backup"
ASSESS, SEND = "assess study", "send documents"
_BEFORE_THE_FIRST = "0" * 64
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A row of the trail."""

    sequence: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]
    sha256: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """The trail as it was once: its last row had this number and this hash. ``at`` is when that was written down."""

    sequence: int
    sha256: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the trail, from row ``sequence`` on."""

    sequence: int
    what: str


def take_turn(session: Session) -> None:
    """Wait until no other transaction appends: two at once would share a predecessor. (On SQLite every writer waits anyway.)"""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))


def append(session: Session, actor: str, action: str, subject: str, detail: Mapping[str, object]) -> int:
    """Add a row within ``session``'s transaction, so that the deed and its trace are committed together; answers its number."""
    take_turn(session)
    last = session.scalars(select(AuditRow).order_by(AuditRow.sequence.desc()).limit(1)).first()
    row = AuditRow(
        sequence=last.sequence + 1 if last else 1,
        at=datetime.now(UTC),
        actor=fitting(AuditRow.actor, actor),
        action=fitting(AuditRow.action, action),
        subject=fitting(AuditRow.subject, subject),
        detail=json.dumps(detail, sort_keys=True, default=str),
        previous_sha256=last.sha256 if last else _BEFORE_THE_FIRST,
    )
    row.sha256 = _digest(row)
    session.add(row)
    session.flush()
    return row.sequence


def about(study: StudyRow, sop_class_uids: Iterable[str]) -> dict[str, object]:
    """What the trail says of objects of a study: whose they are, and how many of each class."""
    return {
        "study_instance_uid": study.study_instance_uid,
        "patient_id": study.patient_id,
        "accession_number": study.accession_number,
        "sop_classes": Counter(sop_class_uids),
    }


def record(ledger: Ledger, actor: str, action: str, subject: str, detail: Mapping[str, object]) -> int:
    """Add a row that stands for itself; answers its number."""
    with ledger.transaction() as session:
        return append(session, actor, action, subject, detail)


def _digest(row: AuditRow) -> str:
    facts = [row.sequence, row.at.astimezone(UTC).isoformat(), row.actor, row.action, row.subject, row.detail, row.previous_sha256]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def entries(ledger: Ledger, after: int = 0, limit: int = _ROWS_AT_ONCE) -> Sequence[AuditEntry]:
    """The rows that follow number ``after``, in order."""
    query = select(AuditRow).where(AuditRow.sequence > after).order_by(AuditRow.sequence).limit(limit)
    with ledger.reading() as session:
        return [_entry(row) for row in session.scalars(query)]


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(row.sequence, row.at, row.actor, row.action, row.subject, json.loads(row.detail), row.sha256)


def last_sequence(ledger: Ledger) -> int:
    """The number of the last row; 0 where there is none."""
    with ledger.reading() as session:
        return session.scalar(select(func.max(AuditRow.sequence))) or 0


def faults(ledger: Ledger, anchors: Sequence[Anchor] = ()) -> Sequence[Fault]:
    """Every row that was changed, removed or cut off at the end, as far as the chain and the anchors can tell; empty where all is whole.

    Anchors of rows that a restored backup did not have any more are excused by the row that tells of the restoring.
    """
    found, hashes, restores, last = [], {}, [], 0
    anchored = {anchor.sequence for anchor in anchors}
    with ledger.reading() as session:
        for row, fault in _walk(session):
            found += [fault] if fault else []
            last = row.sequence
            if row.sequence in anchored:
                hashes[row.sequence] = row.sha256
            if row.action == RESTORE:
                restores.append((row.sequence, row.at))
    held = [each for each in anchors if not any(each.sequence >= sequence and each.at < at for sequence, at in restores)]
    return found + _against_anchors(held, hashes, last)


def first_broken_link(ledger: Ledger) -> int | None:
    """Where the chain alone shows the first fault; None where it is whole."""
    found = faults(ledger)
    return found[0].sequence if found else None


def _walk(session: Session) -> Iterator[tuple[AuditRow, Fault | None]]:
    previous, expected = _BEFORE_THE_FIRST, 1
    for row in session.scalars(select(AuditRow).order_by(AuditRow.sequence).execution_options(yield_per=_ROWS_AT_ONCE)):
        fault = None
        if row.sequence > expected:
            fault = Fault(expected, f"rows {expected} to {row.sequence - 1} were removed")
        elif row.sha256 != _digest(row) or row.previous_sha256 != previous:
            fault = Fault(row.sequence, f"row {row.sequence} was changed")
        yield row, fault
        previous, expected = row.sha256, row.sequence + 1


def _against_anchors(anchors: Sequence[Anchor], hashes: Mapping[int, str], last: int) -> list[Fault]:
    found = []
    if beyond := [anchor.sequence for anchor in anchors if anchor.sequence > last]:
        found.append(Fault(last + 1, f"rows {last + 1} to {max(beyond)} were cut off at the end"))
    for anchor in anchors:
        if hashes.get(anchor.sequence, anchor.sha256) != anchor.sha256:
            found.append(Fault(anchor.sequence, f"row {anchor.sequence} is another one than when it was anchored"))
            break
    return found
