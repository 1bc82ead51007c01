"""What a clock that was set back has left too far ahead: nothing may wait for longer than its rule can have said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from sqlalchemy import ColumnElement, func, select, update

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.hospital_tables import ReconciliationRow
from dosremc_node.ledger.states import DeliveryState
from dosremc_node.ledger.tables import DeliveryRow, StudyRow


def bring_near(
    ledger: Ledger,
    now: datetime,
    quiet: timedelta,
    retry: Mapping[str, timedelta],
    asking: Mapping[str, timedelta] = MappingProxyType({}),
    *,
    commitment: Mapping[str, timedelta] = MappingProxyType({}),
) -> int:
    """Let what is due later than any rule can have said wait, from ``now`` on, as long as its rule allows; gives how many there were.

    A study waits for ``quiet`` after an image at most, a document for ``retry`` of its destination after a failure, and a PACS
    is asked what it has every ``asking`` of it. A destination has ``commitment`` for committing to what it stored, and is asked to within
    that. Looking a second time changes nothing, so it does not matter how many processes look.
    """
    brought = _bring(ledger, StudyRow, StudyRow.due_at > now + quiet, now + quiet)
    for name, wait in retry.items():
        too_late = (DeliveryRow.state == DeliveryState.DUE) & (DeliveryRow.due_at > now + wait) & (DeliveryRow.destination == name)
        brought += _bring(ledger, DeliveryRow, too_late, now + wait)
    for name, wait in asking.items():
        too_late = (ReconciliationRow.source == name) & (ReconciliationRow.due_at > now + wait)
        brought += _bring(ledger, ReconciliationRow, too_late, now + wait)
    for name, wait in commitment.items():
        stored = (DeliveryRow.state == DeliveryState.UNCOMMITTED) & (DeliveryRow.destination == name)
        brought += _bring(ledger, DeliveryRow, stored & (DeliveryRow.due_at > now + wait), now + wait)
        brought += _bring(ledger, DeliveryRow, stored & (DeliveryRow.commit_by > now + wait), now + wait, "commit_by")
    return brought


def _bring(
    ledger: Ledger,
    table: type[StudyRow | DeliveryRow | ReconciliationRow],
    too_late: ColumnElement[bool],
    latest: datetime,
    moment: str = "due_at",
) -> int:
    with ledger.reading() as session:  # which stops no writer: there is hardly ever anything
        found = session.scalar(select(func.count()).select_from(table).where(too_late)) or 0
    if found:
        with ledger.transaction() as session:
            session.execute(update(table).where(too_late).values({moment: latest}))
    return found
