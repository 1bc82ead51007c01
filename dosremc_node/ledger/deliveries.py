"""What is on its way where, and what each destination answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.revisions import finish_if_delivered
from dosremc_node.ledger.states import DELIVERIES, DeliveryState, RevisionState, check_transition
from dosremc_node.ledger.tables import DeliveryRow, DocumentRow, RevisionRow
from dosremc_node.records import DeliveryOutcome, DeliveryResult, StudyId


@dataclass(frozen=True, slots=True, order=True)
class DueDelivery:
    """The documents of one revision that one destination still has to get, in one association.

    ``attempt`` makes the name of each try unique: ``drive`` counts what people re-drove, ``attempts`` the tries since.
    """

    study_id: StudyId
    number: int
    destination: str
    drive: int
    attempts: int


@dataclass(frozen=True, slots=True)
class DocumentToSend:
    """What a destination gets: identity of the document, and the key of its bytes."""

    sop_class_uid: str
    sop_instance_uid: str
    artifact_key: str


RetryRule = Callable[[int], datetime | None]
"""When to try again after so many attempts; None where it was tried often enough."""


def due_deliveries(ledger: Ledger, now: datetime) -> Sequence[DueDelivery]:
    """Everything that may be sent now, one entry for each revision and destination."""
    query = (
        select(RevisionRow.study_id, RevisionRow.number, DeliveryRow.destination, RevisionRow.drive, DeliveryRow.attempts)
        .join(DocumentRow, DocumentRow.id == DeliveryRow.document_id)
        .join(RevisionRow, RevisionRow.id == DocumentRow.revision_id)
        .where(DeliveryRow.state == DeliveryState.DUE, DeliveryRow.due_at <= now, RevisionRow.state == RevisionState.DELIVERING)
    )
    with ledger.reading() as session:
        rows = [DueDelivery(StudyId(study), number, name, drive, tries) for study, number, name, drive, tries in session.execute(query)]
    latest = {(each.study_id, each.number, each.destination): each for each in sorted(rows)}
    return list(latest.values())


def documents_to_send(ledger: Ledger, due: DueDelivery) -> Sequence[DocumentToSend]:
    """The documents of a revision that the destination has not acknowledged yet."""
    query = (
        select(DocumentRow)
        .join(DeliveryRow, DocumentRow.id == DeliveryRow.document_id)
        .join(RevisionRow, RevisionRow.id == DocumentRow.revision_id)
        .where(RevisionRow.study_id == due.study_id, RevisionRow.number == due.number)
        .where(DeliveryRow.destination == due.destination, DeliveryRow.state == DeliveryState.DUE)
        .order_by(DocumentRow.id)
    )
    with ledger.reading() as session:
        return [DocumentToSend(row.sop_class_uid, row.sop_instance_uid, row.artifact_key) for row in session.scalars(query)]


def keep_results(ledger: Ledger, due: DueDelivery, results: Sequence[DeliveryResult], retry: RetryRule, now: datetime) -> None:
    """Enter what the destination answered to each document, and what follows from it.

    A second answer for a document that is delivered changes nothing: a process that was only slow cannot undo it.
    """
    by_uid = {result.sop_instance_uid: result for result in results}
    with ledger.transaction() as session:
        query = select(RevisionRow).where(RevisionRow.study_id == due.study_id, RevisionRow.number == due.number).with_for_update()
        revision = session.scalars(query).one()
        for delivery in _still_due(revision, due.destination, by_uid):
            _settle(delivery, by_uid[delivery.document.sop_instance_uid], retry, now)
        if revision.state == RevisionState.DELIVERING:
            finish_if_delivered(revision)


def _still_due(revision: RevisionRow, destination: str, by_uid: Mapping[str, DeliveryResult]) -> list[DeliveryRow]:
    return [
        delivery
        for document in revision.documents
        for delivery in document.deliveries
        if delivery.destination == destination and delivery.state == DeliveryState.DUE and document.sop_instance_uid in by_uid
    ]


def _settle(delivery: DeliveryRow, result: DeliveryResult, retry: RetryRule, now: datetime) -> None:
    delivery.attempts += 1
    delivery.status, delivery.comment = result.status, result.comment
    if result.outcome is DeliveryOutcome.DELIVERED:
        _advance(delivery, DeliveryState.DELIVERED)
        delivery.delivered_at = now
        return
    again = retry(delivery.attempts) if result.outcome is DeliveryOutcome.RETRY else None
    if again is None:
        _advance(delivery, DeliveryState.PARKED)
    else:
        delivery.due_at = again


def _advance(delivery: DeliveryRow, new: DeliveryState) -> None:
    check_transition(DELIVERIES, f"delivery {delivery.id}", DeliveryState(delivery.state), new)
    delivery.state = new
