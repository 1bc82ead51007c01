"""The append-only audit trail: who did what to what, each row chained to the one before by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.tables import AuditRow

_BEFORE_THE_FIRST = "0" * 64


def take_turn(session: Session) -> None:
    """Wait until no other transaction appends: two at once would share a predecessor. (On SQLite every writer waits anyway.)"""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))


def append(session: Session, actor: str, action: str, subject: str, detail: Mapping[str, object]) -> None:
    """Add a row within ``session``'s transaction, so that the deed and its trace are committed together."""
    take_turn(session)
    last = session.scalars(select(AuditRow).order_by(AuditRow.sequence.desc()).limit(1)).first()
    row = AuditRow(
        sequence=last.sequence + 1 if last else 1,
        at=datetime.now(UTC),
        actor=actor,
        action=action,
        subject=subject,
        detail=json.dumps(detail, sort_keys=True, default=str),
        previous_sha256=last.sha256 if last else _BEFORE_THE_FIRST,
    )
    row.sha256 = _digest(row)
    session.add(row)
    session.flush()


def _digest(row: AuditRow) -> str:
    facts = [row.sequence, row.at.astimezone(UTC).isoformat(), row.actor, row.action, row.subject, row.detail, row.previous_sha256]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def first_broken_link(ledger: Ledger) -> int | None:
    """The sequence number of the first row that was changed, or that follows a removed one; None where all is whole."""
    previous, expected = _BEFORE_THE_FIRST, 1
    with ledger.reading() as session:
        for row in session.scalars(select(AuditRow).order_by(AuditRow.sequence)):
            if row.sequence != expected or row.previous_sha256 != previous or row.sha256 != _digest(row):
                return expected
            previous, expected = row.sha256, expected + 1
    return None
