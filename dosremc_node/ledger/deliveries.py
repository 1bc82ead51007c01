"""What is on its way where, and what each destination answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, ScalarSelect, and_, func, select
from sqlalchemy.orm import Session, aliased

from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.revisions import finish_if_delivered, settle_revision
from dosremc_node.ledger.states import DELIVERIES, DeliveryState, RevisionState, check_transition
from dosremc_node.ledger.superseding import may_go
from dosremc_node.ledger.tables import DeliveryRow, DocumentRow, RevisionRow
from dosremc_node.records import DeliveryOutcome, DeliveryResult, Document, DocumentKind, StudyId


@dataclass(frozen=True, slots=True, order=True)
class DueDelivery:
    """The documents of one revision that one destination still has to get, in one association.

    They make the name of each try unique: ``drive`` counts what people re-drove, ``attempts`` the tries of all the documents since.
    """

    study_id: StudyId
    number: int
    destination: str
    drive: int
    attempts: int


@dataclass(frozen=True, slots=True)
class DocumentToSend:
    """What a destination gets: identity of the document, and the key of its bytes."""

    kind: DocumentKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    description: str
    artifact_key: str


RetryRule = Callable[[int], datetime | None]
"""When to try again after so many attempts; None where it was tried often enough."""


def due_deliveries(ledger: Ledger, now: datetime) -> Sequence[DueDelivery]:
    """Everything that may be sent now, one entry for each revision and destination."""
    query = (
        select(RevisionRow.study_id, RevisionRow.number, DeliveryRow.destination, RevisionRow.drive, _tries())
        .join(DocumentRow, DocumentRow.id == DeliveryRow.document_id)
        .join(RevisionRow, RevisionRow.id == DocumentRow.revision_id)
        .where(DeliveryRow.state == DeliveryState.DUE, DeliveryRow.due_at <= now, RevisionRow.state == RevisionState.DELIVERING)
        .where(may_go())
        .distinct()
    )
    with ledger.reading() as session:
        rows = [DueDelivery(StudyId(study), number, name, drive, tries) for study, number, name, drive, tries in session.execute(query)]
    return sorted(rows)


def _tries() -> ScalarSelect[int]:
    """How often anything of the revision was tried at the destination: what becomes due after the rest must not get the name of a try before."""
    tried, document = aliased(DeliveryRow), aliased(DocumentRow)
    query = select(func.sum(tried.attempts)).join(document, document.id == tried.document_id)
    return query.where(document.revision_id == RevisionRow.id, tried.destination == DeliveryRow.destination).scalar_subquery()


def documents_to_send(ledger: Ledger, due: DueDelivery) -> Sequence[DocumentToSend]:
    """The documents of a revision that the destination has not acknowledged yet; its rejection note not before all others."""
    query = (
        select(DocumentRow)
        .join(DeliveryRow, DocumentRow.id == DeliveryRow.document_id)
        .join(RevisionRow, RevisionRow.id == DocumentRow.revision_id)
        .where(RevisionRow.study_id == due.study_id, RevisionRow.number == due.number)
        .where(DeliveryRow.destination == due.destination, DeliveryRow.state == DeliveryState.DUE, may_go())
        .order_by(DocumentRow.id)
    )
    with ledger.reading() as session:
        return [_to_send(row) for row in session.scalars(query)]


def _to_send(row: DocumentRow) -> DocumentToSend:
    kind = DocumentKind(row.kind)
    return DocumentToSend(kind, row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid, row.description, row.artifact_key)


def original_of(ledger: Ledger, sop_instance_uid: str) -> DocumentToSend:
    """The document as it was rendered, of which ``sop_instance_uid`` is a rendition or which it is itself."""
    with ledger.reading() as session:
        row = _document(session, sop_instance_uid)
        return _to_send(_document(session, row.rendition_of) if row.rendition_of else row)


def send_instead(
    ledger: Ledger, due: DueDelivery, sop_instance_uid: str, instead: Document | DocumentToSend, artifact_key: str
) -> DocumentToSend:
    """Have a destination get a rendition of a document in its place, or the original again; answers what is kept of it.

    One that was kept before keeps its bytes, which may have been sent already (promise 4).
    """
    with ledger.transaction() as session:
        revision = _locked_revision(session, due)
        current = _document(session, sop_instance_uid)
        row = next((each for each in revision.documents if each.sop_instance_uid == instead.sop_instance_uid), None)
        if row is None:
            row = _rendition(current, instead, artifact_key)
            revision.documents.append(row)
        for delivery in current.deliveries:
            if delivery.destination == due.destination:
                delivery.document = row
        return _to_send(row)


def _rendition(current: DocumentRow, instead: Document | DocumentToSend, artifact_key: str) -> DocumentRow:
    return DocumentRow(
        kind=current.kind,
        sop_class_uid=instead.sop_class_uid,
        sop_instance_uid=instead.sop_instance_uid,
        series_instance_uid=instead.series_instance_uid,
        description=current.description,
        artifact_key=artifact_key,
        rendition_of=current.rendition_of or current.sop_instance_uid,
        rendered_at=datetime.now(UTC),
    )


def _document(session: Session, sop_instance_uid: str) -> DocumentRow:
    return session.scalars(select(DocumentRow).where(DocumentRow.sop_instance_uid == sop_instance_uid)).one()


def _locked_revision(session: Session, due: DueDelivery) -> RevisionRow:
    query = select(RevisionRow).where(RevisionRow.study_id == due.study_id, RevisionRow.number == due.number)
    return session.scalars(query.with_for_update()).one()


def keep_results(
    ledger: Ledger,
    due: DueDelivery,
    results: Sequence[DeliveryResult],
    retry: RetryRule,
    now: datetime,
    *,
    commit_by: datetime | None = None,
) -> None:
    """Enter what the destination answered to each document, and what follows from it.

    Where it has to commit to its storage, ``commit_by`` says until when: a document that it stored is not delivered before.

    A second answer for a document that is delivered changes nothing: a process that was only slow cannot undo it.
    """
    by_uid = {result.sop_instance_uid: result for result in results}
    with ledger.transaction() as session:
        revision = _locked_revision(session, due)
        for delivery in _still_due(revision, due.destination, by_uid):
            _settle(delivery, by_uid[delivery.document.sop_instance_uid], retry, now, commit_by)
        _tell(session, revision, due.destination, by_uid)
        if revision.state == RevisionState.DELIVERING:
            finish_if_delivered(revision)


def _tell(session: Session, revision: RevisionRow, destination: str, by_uid: Mapping[str, DeliveryResult]) -> None:
    """Leave a trace of what the destination has taken; a try that brought it nothing leaves none."""
    taken = [uid for uid, result in by_uid.items() if result.outcome is DeliveryOutcome.DELIVERED]
    classes = [document.sop_class_uid for document in revision.documents if document.sop_instance_uid in taken]
    if classes:
        detail = {**audit.about(revision.study, classes), "destination": destination, "failed": len(by_uid) - len(taken)}
        audit.append(session, audit.NODE, audit.SEND, f"{revision.study_id}:{revision.number}", detail)


def _still_due(revision: RevisionRow, destination: str, by_uid: Mapping[str, DeliveryResult]) -> list[DeliveryRow]:
    return [
        delivery
        for document in revision.documents
        for delivery in document.deliveries
        if delivery.destination == destination and delivery.state == DeliveryState.DUE and document.sop_instance_uid in by_uid
    ]


def _settle(delivery: DeliveryRow, result: DeliveryResult, retry: RetryRule, now: datetime, commit_by: datetime | None) -> None:
    delivery.attempts += 1
    delivery.status, delivery.comment = result.status, result.comment
    if result.outcome is DeliveryOutcome.SKIPPED:
        advance(delivery, DeliveryState.GIVEN_UP)
    elif result.outcome is not DeliveryOutcome.DELIVERED:
        try_again_or_park(delivery, result, retry)
    elif commit_by is None:
        advance(delivery, DeliveryState.DELIVERED)
        delivery.delivered_at = now
    else:
        advance(delivery, DeliveryState.UNCOMMITTED)
        delivery.due_at, delivery.commit_by, delivery.transaction_uid = now, commit_by, None


def try_again_or_park(delivery: DeliveryRow, result: DeliveryResult, retry: RetryRule) -> None:
    """What follows from a failure: the document is sent (again) when the rule says so, or waits for a person."""
    again = retry(delivery.attempts) if result.outcome is DeliveryOutcome.RETRY else None
    if again is None:
        advance(delivery, DeliveryState.PARKED)
        return
    delivery.due_at = again
    if delivery.state != DeliveryState.DUE:
        advance(delivery, DeliveryState.DUE)


def give_up(ledger: Ledger, destination: str, study_id: StudyId | None, actor: str, reason: str) -> int:
    """Deliver nothing more to a destination, of one study or of all; answers how many documents that were still to go there.

    Each revision of which something is given up leaves its trace in the audit trail.
    """
    unfinished = (DeliveryState.DUE, DeliveryState.UNCOMMITTED, DeliveryState.PARKED)
    query = (
        select(RevisionRow)
        .where(RevisionRow.documents.any(DocumentRow.deliveries.any(_going_to(destination, unfinished))))
        .order_by(RevisionRow.id)
        .with_for_update()
    )
    query = query.where(RevisionRow.study_id == study_id) if study_id else query
    count = 0
    with ledger.transaction() as session:
        for revision in session.scalars(query):
            rows = [row for document in revision.documents for row in document.deliveries if row.destination == destination]
            given_up = [row for row in rows if row.state in unfinished]
            for row in given_up:
                advance(row, DeliveryState.GIVEN_UP)
                row.comment = f"given up by {actor}: {reason} (before: {row.comment or 'not tried'})"
            detail = {"destination": destination, "documents": len(given_up), "reason": reason}
            audit.append(session, actor, "give up delivery", f"{revision.study_id}:{revision.number}", detail)
            settle_revision(revision)
            count += len(given_up)
    return count


def _going_to(destination: str, states: Sequence[DeliveryState]) -> ColumnElement[bool]:
    return and_(DeliveryRow.destination == destination, DeliveryRow.state.in_(states))


def advance(delivery: DeliveryRow, new: DeliveryState) -> None:
    check_transition(DELIVERIES, f"delivery {delivery.id}", DeliveryState(delivery.state), new)
    delivery.state = new
