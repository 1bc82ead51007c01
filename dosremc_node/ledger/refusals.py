"""What was refused at the door: associations and objects, counted by who asked and why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import func, select

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.tables import RefusalRow, fitting


class Refused(StrEnum):
    ASSOCIATION = "association"
    OBJECT = "object"


class Refusal(NamedTuple):
    """What was refused, to whom, and why (one of a few sentences or status codes: nothing that a peer has sent)."""

    kind: Refused
    calling_ae_title: str
    peer_address: str
    why: str


def keep_refusals(ledger: Ledger, counts: Mapping[Refusal, int], now: datetime) -> None:
    """Enter how often each happened since it was entered last."""
    with ledger.transaction() as session:
        for each, times in counts.items():
            session.add(
                RefusalRow(
                    at=now,
                    kind=each.kind,
                    calling_ae_title=fitting(RefusalRow.calling_ae_title, each.calling_ae_title),
                    peer_address=fitting(RefusalRow.peer_address, each.peer_address),
                    why=fitting(RefusalRow.why, each.why),
                    times=times,
                )
            )


def refusal_counts(ledger: Ledger) -> Mapping[tuple[Refused, str, str], int]:
    """How often what was refused: by kind, calling AE title and reason."""
    columns = (RefusalRow.kind, RefusalRow.calling_ae_title, RefusalRow.why)
    query = select(*columns, func.sum(RefusalRow.times)).group_by(*columns)
    with ledger.reading() as session:
        return {(Refused(kind), calling, why): int(times) for kind, calling, why, times in session.execute(query)}
