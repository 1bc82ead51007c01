"""How work flows: what came from whom, how long each stage takes, how long the oldest has waited. For metrics, from the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Float, Select, and_, case, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from dosremc_node.ledger.conflicts import two_patients_stand_in
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.states import DeliveryState, RevisionState
from dosremc_node.ledger.tables import DeliveryRow, DocumentRow, InstanceRow, ReleaseInForceRow, RevisionRow, StudyRow


class Stage(StrEnum):
    """The stages of a study's way, each from the end of the one before."""

    COMPLETE = "received to complete"
    ASSESSED = "complete to assessed"
    DELIVERED = "assessed to delivered"


class Queue(StrEnum):
    """What work waits for."""

    OPEN = "open"
    ASSESS = "assess"
    DELIVER = "deliver"


class _SecondsBetween(FunctionElement[float]):
    type = Float()
    inherit_cache = True


@compiles(_SecondsBetween, "sqlite")
def _on_sqlite(element: _SecondsBetween, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's own
    earlier, later = (compiler.process(each, **options) for each in element.clauses)
    return f"((julianday({later}) - julianday({earlier})) * 86400.0)"


@compiles(_SecondsBetween, "postgresql")
def _on_postgresql(element: _SecondsBetween, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    earlier, later = (compiler.process(each, **options) for each in element.clauses)
    return f"EXTRACT(EPOCH FROM ({later} - {earlier}))"


def arrivals(ledger: Ledger) -> Mapping[tuple[str, str], int]:
    """How many instances each AE title has sent, by the domain that its study's last revision was scored in; empty where in none."""
    newest = select(RevisionRow.study_id, func.max(RevisionRow.number).label("number")).group_by(RevisionRow.study_id).subquery()
    domain = func.coalesce(RevisionRow.domain, "")
    query = (
        select(InstanceRow.calling_ae_title, domain, func.count())
        .outerjoin(newest, newest.c.study_id == InstanceRow.study_id)
        .outerjoin(RevisionRow, and_(RevisionRow.study_id == newest.c.study_id, RevisionRow.number == newest.c.number))
        .group_by(InstanceRow.calling_ae_title, domain)
    )
    with ledger.reading() as session:
        return {(calling, scored_in): count for calling, scored_in, count in session.execute(query)}


def latencies(ledger: Ledger, bounds: Sequence[float]) -> Mapping[tuple[Stage, str], tuple[Sequence[int], float]]:
    """For each stage and domain: how many took at most so many seconds, for each of ``bounds`` and in all, and the sum of seconds."""
    found: dict[tuple[Stage, str], tuple[Sequence[int], float]] = {}
    with ledger.reading() as session:
        for stage, query in _stages(bounds).items():
            for domain, total, seconds, *counts in session.execute(query):
                found[stage, domain] = ([*(int(count) for count in counts), total], float(seconds))
    return found


def _stages(bounds: Sequence[float]) -> Mapping[Stage, Select[Any]]:
    complete = _counted(StudyRow.first_received_at, RevisionRow.opened_at, bounds).join(StudyRow).where(RevisionRow.number == 1)
    assessed = _counted(RevisionRow.opened_at, RevisionRow.assessed_at, bounds).where(RevisionRow.assessed_at.is_not(None))
    delivered = (
        _counted(DocumentRow.rendered_at, DeliveryRow.delivered_at, bounds)
        .join(DocumentRow, DocumentRow.revision_id == RevisionRow.id)
        .join(DeliveryRow, DeliveryRow.document_id == DocumentRow.id)
        .where(DeliveryRow.delivered_at.is_not(None))
    )
    return {Stage.COMPLETE: complete, Stage.ASSESSED: assessed, Stage.DELIVERED: delivered}


def _counted(earlier: InstrumentedAttribute[Any], later: InstrumentedAttribute[Any], bounds: Sequence[float]) -> Select[Any]:
    seconds = _SecondsBetween(earlier, later)
    columns: list[ColumnElement[Any]] = [func.sum(case((seconds <= bound, 1), else_=0)) for bound in bounds]
    columns = [func.count(), func.sum(seconds), *columns]
    return select(RevisionRow.domain).add_columns(*columns).select_from(RevisionRow).group_by(RevisionRow.domain)


def oldest(ledger: Ledger, now: datetime) -> Mapping[tuple[Queue, str], datetime]:
    """Since when the oldest in each queue has waited, by destination where it waits for one; only queues that are not empty.

    What waits for a person is in none.
    """
    delivering = and_(DeliveryRow.state == DeliveryState.DUE, RevisionRow.state == RevisionState.DELIVERING)
    with ledger.reading() as session:
        found: dict[tuple[Queue, str], datetime | None] = {
            (Queue.OPEN, ""): session.scalar(
                select(func.min(StudyRow.due_at)).where(StudyRow.due_at <= now, ~two_patients_stand_in(StudyRow.study_id))
            ),
            (Queue.ASSESS, ""): session.scalar(select(func.min(RevisionRow.opened_at)).where(RevisionRow.state == RevisionState.ASSESSING)),
        }
        query = select(DeliveryRow.destination, _first(DocumentRow.rendered_at)).join(DeliveryRow.document).join(DocumentRow.revision)
        for destination, since in session.execute(query.where(delivering).group_by(DeliveryRow.destination)):
            found[Queue.DELIVER, destination] = since
    return {queue: since for queue, since in found.items() if since is not None}


def _first(column: InstrumentedAttribute[datetime]) -> ColumnElement[datetime]:
    return func.min(column)


def release_since(ledger: Ledger) -> tuple[str, datetime] | None:
    """The release in force, and since when; None in a new ledger."""
    with ledger.reading() as session:
        row = session.scalars(select(ReleaseInForceRow)).first()
        return (row.release_id, row.since) if row else None
