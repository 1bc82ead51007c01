"""What became of the runs of recalibration: which domain, which window, and the outcome in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.proposal_tables import RecalibrationRunRow
from dosremc_node.records import Domain

FAILED = "failed: "
"""What stands in the outcome before the reason why the run, or a generator of it, could not be carried through."""


@dataclass(frozen=True, slots=True)
class RecalibrationRun:
    """One run. ``finished_at`` is None while it lasts; ``outcome`` says what came of each generator, or why it failed."""

    domain: Domain
    window: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str

    @property
    def failed(self) -> bool:
        return FAILED in self.outcome


def runs_of_window(ledger: Ledger, window: str) -> Sequence[RecalibrationRun]:
    """The runs over a window, by domain."""
    with ledger.reading() as session:
        rows = session.scalars(select(RecalibrationRunRow).filter_by(window=window).order_by(RecalibrationRunRow.domain))
        return [_record(row) for row in rows]


def latest_runs(ledger: Ledger) -> Sequence[RecalibrationRun]:
    """The latest run of each domain."""
    latest = select(func.max(RecalibrationRunRow.id)).group_by(RecalibrationRunRow.domain)
    with ledger.reading() as session:
        rows = session.scalars(select(RecalibrationRunRow).where(RecalibrationRunRow.id.in_(latest)).order_by(RecalibrationRunRow.domain))
        return [_record(row) for row in rows]


def _record(row: RecalibrationRunRow) -> RecalibrationRun:
    return RecalibrationRun(Domain(row.domain), row.window, row.started_at, row.finished_at, row.outcome)
