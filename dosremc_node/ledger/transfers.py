"""What arrived, told to the audit trail: one row for each study and sender, some moments after the fact.

Receiving does not wait for the trail, because on PostgreSQL whoever appends keeps all others out until it has committed: an
instance's row is the durable trace that it arrived, and says by ``audit_sequence`` whether the trail tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.tables import InstanceRow, RefusalRow

RECEIVE, REFUSE = "receive instances", "refuse"
_ROWS_AT_ONCE = 2000


def tell_of_instances(ledger: Ledger) -> int:
    """Append what the trail does not tell of yet; answers of how many instances it told."""
    # Locked before the trail, as everywhere; what another transaction has in hand waits for the next time.
    query = (
        select(InstanceRow)
        .where(InstanceRow.audit_sequence.is_(None))
        .order_by(InstanceRow.id)
        .limit(_ROWS_AT_ONCE)
        .with_for_update(skip_locked=True, of=InstanceRow)
    )
    if _nothing(ledger, InstanceRow):
        return 0
    with ledger.transaction() as session:
        rows = session.scalars(query).all()
        by_sender: dict[tuple[str, str, str], list[InstanceRow]] = {}
        for row in rows:
            by_sender.setdefault((row.study_id, row.calling_ae_title, row.peer_address), []).append(row)
        for group in by_sender.values():
            _tell(session, group)
    return len(rows)


def _tell(session: Session, rows: Sequence[InstanceRow]) -> None:
    first = rows[0]
    sequence = audit.append(session, audit.NODE, RECEIVE, first.study_id, _detail(rows))
    for row in rows:
        row.audit_sequence = sequence


def _detail(rows: Sequence[InstanceRow]) -> Mapping[str, object]:
    return {
        **audit.about(rows[0].study, (row.sop_class_uid for row in rows)),
        "calling_ae_title": rows[0].calling_ae_title,
        "peer_address": rows[0].peer_address,
        "first": min(row.received_at for row in rows).isoformat(),
        "last": max(row.received_at for row in rows).isoformat(),
    }


def tell_of_refusals(ledger: Ledger) -> int:
    """Append what was refused and is not told of yet; answers how many rows that made."""
    if _nothing(ledger, RefusalRow):
        return 0
    query = select(RefusalRow).where(RefusalRow.audit_sequence.is_(None)).order_by(RefusalRow.id).limit(_ROWS_AT_ONCE)
    with ledger.transaction() as session:
        rows = session.scalars(query.with_for_update(skip_locked=True)).all()
        for row in rows:
            detail = {
                "calling_ae_title": row.calling_ae_title,
                "peer_address": row.peer_address,
                "why": row.why,
                "times": row.times,
            }
            row.audit_sequence = audit.append(session, audit.NODE, f"{REFUSE} {row.kind}", row.calling_ae_title, detail)
    return len(rows)


def _nothing(ledger: Ledger, table: type[InstanceRow | RefusalRow]) -> bool:
    """A look that stops no writer."""
    with ledger.reading() as session:
        return session.scalar(select(table.id).where(table.audit_sequence.is_(None)).limit(1)) is None
