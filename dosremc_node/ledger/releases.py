"""Which release is in force: one row, which can be changed while nodes run."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.tables import ReleaseInForceRow, fitting

_THE_ROW = 1


def release_in_force(ledger: Ledger) -> str | None:
    """The id of the release that new revisions are pinned to; None in a new ledger."""
    with ledger.reading() as session:
        row = session.get(ReleaseInForceRow, _THE_ROW)
        return row.release_id if row else None


def put_in_force(ledger: Ledger, release_id: str, actor: str) -> None:
    """From now on new revisions are pinned to ``release_id``; those that are open keep theirs."""
    with ledger.transaction() as session:
        exchange(session, release_id, actor)


def exchange(session: Session, release_id: str, actor: str) -> str | None:
    """The same within a transaction; answers what was in force before, which nobody can have changed in between."""
    audit.take_turn(session)  # nodes that start together on a new ledger must not both make the row
    row = session.get(ReleaseInForceRow, _THE_ROW)
    before = row.release_id if row else None
    if before != release_id:
        session.merge(
            ReleaseInForceRow(id=_THE_ROW, release_id=release_id, since=datetime.now(UTC), actor=fitting(ReleaseInForceRow.actor, actor))
        )
        audit.append(session, actor, "release in force", release_id, {"before": before})
    return before
