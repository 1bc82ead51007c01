"""Storage commitment: which documents a destination still has to commit to, what it was asked, and what it reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.deliveries import advance, try_again_or_park
from dosremc_node.ledger.revisions import settle_revision
from dosremc_node.ledger.states import DeliveryState
from dosremc_node.ledger.tables import CommitmentRow, DeliveryRow, DocumentRow, RevisionRow
from dosremc_node.records import DeliveryOutcome, DeliveryResult, StudyId


@dataclass(frozen=True, slots=True, order=True)
class DueCommitment:
    """The documents of one revision that one destination has stored and is to be asked for; ``asked`` counts the requests before."""

    study_id: StudyId
    number: int
    destination: str
    asked: int


Instance = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""


def due_commitments(ledger: Ledger, now: datetime) -> Sequence[DueCommitment]:
    """What is to be asked now, one entry for each revision and destination."""
    query = (
        select(RevisionRow.id, RevisionRow.study_id, RevisionRow.number, DeliveryRow.destination)
        .join(RevisionRow.documents)
        .join(DocumentRow.deliveries)
        .where(DeliveryRow.state == DeliveryState.UNCOMMITTED, DeliveryRow.due_at <= now)
        .distinct()
    )
    with ledger.reading() as session:
        rows = session.execute(query).all()
        return [DueCommitment(StudyId(study), number, name, _asked(session, row_id, name)) for row_id, study, number, name in rows]


def _asked(session: Session, revision_id: int, destination: str) -> int:
    query = select(func.count()).where(CommitmentRow.revision_id == revision_id, CommitmentRow.destination == destination)
    return session.scalar(query) or 0


def open_request(ledger: Ledger, due: DueCommitment, transaction_uid: str, now: datetime, again_at: datetime) -> Sequence[Instance]:
    """Enter a request before it is made, and what it asks for; nothing where another process was faster.

    The answer may be there before the request's own response. Without one, it is asked again at ``again_at``.
    """
    with ledger.transaction() as session:
        revision = session.scalars(_revision_of(due).with_for_update()).one()
        if _asked(session, revision.id, due.destination) != due.asked:
            return []
        rows = [row for row in _deliveries(revision, due.destination) if row.state == DeliveryState.UNCOMMITTED and row.due_at <= now]
        if rows:
            session.add(
                CommitmentRow(transaction_uid=transaction_uid, revision_id=revision.id, destination=due.destination, requested_at=now)
            )
        for row in rows:
            row.transaction_uid, row.due_at = transaction_uid, again_at
        return [(row.document.sop_class_uid, row.document.sop_instance_uid) for row in rows]


def keep_request(ledger: Ledger, transaction_uid: str, result: DeliveryResult, again_at: datetime) -> None:
    """Enter what the request itself was answered: ask again at ``again_at`` if no report comes, or park where it is refused."""
    with ledger.transaction() as session:
        revision, request = _request(session, transaction_uid)
        for row in _deliveries(revision, request.destination):
            if row.transaction_uid != transaction_uid or row.state != DeliveryState.UNCOMMITTED:
                continue
            row.due_at = again_at
            if result.outcome is not DeliveryOutcome.DELIVERED:
                row.status, row.comment = result.status, result.comment
            if result.outcome is DeliveryOutcome.REFUSED:
                advance(row, DeliveryState.PARKED)
        settle_revision(revision)


def keep_report(
    ledger: Ledger,
    transaction_uid: str,
    results: Sequence[DeliveryResult],
    retry: Callable[[str, int], datetime | None],
    now: datetime,
) -> bool:
    """Enter what a destination reported of each instance; False where no request of ours had that transaction UID.

    What it has committed to is delivered, however late it says so. What it has not is sent again when ``retry`` (of the destination's
    name and the number of tries) says so; a report on an earlier request cannot take back what a later one is still to answer.
    """
    by_uid = {result.sop_instance_uid: result for result in results}
    with ledger.transaction() as session:
        if session.get(CommitmentRow, transaction_uid) is None:
            return False
        revision, request = _request(session, transaction_uid)
        request.answered_at = now
        for row in _deliveries(revision, request.destination):
            result = by_uid.get(row.document.sop_instance_uid)
            if result is None or row.state in (DeliveryState.DELIVERED, DeliveryState.GIVEN_UP):
                continue
            if result.outcome is DeliveryOutcome.DELIVERED:
                advance(row, DeliveryState.DELIVERED)
                row.delivered_at, row.status, row.comment = now, result.status, result.comment
            elif row.transaction_uid == transaction_uid and row.state == DeliveryState.UNCOMMITTED:
                row.status, row.comment = result.status, result.comment
                try_again_or_park(row, result, lambda attempts: retry(request.destination, attempts))
        settle_revision(revision)
        return True


def park_overdue(ledger: Ledger, now: datetime) -> int:
    """Park what no destination committed to in its time; answers how many documents."""
    overdue = select(DeliveryRow.id).where(DeliveryRow.state == DeliveryState.UNCOMMITTED, DeliveryRow.commit_by <= now)
    with ledger.reading() as session:
        if session.scalar(overdue.limit(1)) is None:
            return 0
    # The revisions, not the deliveries: who settles a revision must see what everybody else says of its deliveries.
    of_revision = overdue.join(DocumentRow, DocumentRow.id == DeliveryRow.document_id).where(DocumentRow.revision_id == RevisionRow.id)
    query = select(RevisionRow).where(of_revision.exists()).order_by(RevisionRow.id).with_for_update()
    with ledger.transaction() as session:
        return sum(_park_overdue(revision, now) for revision in session.scalars(query).all())


def _park_overdue(revision: RevisionRow, now: datetime) -> int:
    rows = [row for document in revision.documents for row in document.deliveries if _is_overdue(row, now)]
    for row in rows:
        advance(row, DeliveryState.PARKED)
        row.comment = f"Stored, but not committed to by {row.commit_by:%Y-%m-%d %H:%M} UTC ({row.comment})"
    settle_revision(revision)
    return len(rows)


def _is_overdue(row: DeliveryRow, now: datetime) -> bool:
    return row.state == DeliveryState.UNCOMMITTED and row.commit_by is not None and row.commit_by <= now


def _request(session: Session, transaction_uid: str) -> tuple[RevisionRow, CommitmentRow]:
    request = session.get_one(CommitmentRow, transaction_uid)
    return session.get_one(RevisionRow, request.revision_id, with_for_update=True), request


def _revision_of(due: DueCommitment) -> Select[RevisionRow]:
    return select(RevisionRow).where(RevisionRow.study_id == due.study_id, RevisionRow.number == due.number)


def _deliveries(revision: RevisionRow, destination: str) -> list[DeliveryRow]:
    return [row for document in revision.documents for row in document.deliveries if row.destination == destination]
