"""How far the audit trail was handed on to each place outside, and which process does it just now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.tables import AuditSinkRow


def take(ledger: Ledger, sink: str, holder: str, now: datetime, hold: timedelta) -> int | None:
    """Take it upon this process for a while to hand the trail on to ``sink``: the last number that has arrived there.

    None where another process does it.
    """
    try:
        with ledger.transaction() as session:
            row = session.get(AuditSinkRow, sink, with_for_update=True)
            if row is None:
                row = AuditSinkRow(name=sink, sequence=0, holder=holder, held_until=now)
                session.add(row)
            # What is held for longer than that was taken by another clock.
            if row.holder != holder and now < row.held_until <= now + hold:
                return None
            row.holder, row.held_until = holder, now + hold
            return row.sequence
    except IntegrityError:  # another process has made the row just now
        return None


def advance(ledger: Ledger, sink: str, holder: str, sequence: int) -> None:
    """Enter that everything up to ``sequence`` has arrived there; what a process that was too slow says changes nothing."""
    with ledger.transaction() as session:
        row = session.get_one(AuditSinkRow, sink, with_for_update=True)
        if row.holder == holder:
            row.sequence = sequence


def positions(ledger: Ledger) -> Mapping[str, int]:
    """The last number that has arrived at each place."""
    with ledger.reading() as session:
        return {row.name: row.sequence for row in session.scalars(select(AuditSinkRow))}
