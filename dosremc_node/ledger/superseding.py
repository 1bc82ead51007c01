"""When a rejection note of ours may go to a destination, and what it names: what that destination holds of earlier revisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session, aliased

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.states import DeliveryState
from dosremc_node.ledger.tables import DeliveryRow, DocumentRow, RevisionRow, StudyRow
from dosremc_node.records import DocumentKind, PredecessorDocument, StudyId

_Query = TypeVar("_Query", bound=Select[Any])
_UNSETTLED: Final = (DeliveryState.DUE, DeliveryState.UNCOMMITTED, DeliveryState.PARKED)


def may_go() -> ColumnElement[bool]:
    """Of a query over deliveries with their documents and revisions: those that wait for no other.

    A rejection note waits while anything else of the study, up to its own revision, is on its way to the destination or parked there. So a
    radiologist is never without a valid report, and no superseded one arrives after its note.
    """
    other, document, revision = aliased(DeliveryRow), aliased(DocumentRow), aliased(RevisionRow)
    unsettled = (
        select(other.id)
        .join(document, document.id == other.document_id)
        .join(revision, revision.id == document.revision_id)
        .where(revision.study_id == RevisionRow.study_id, revision.number <= RevisionRow.number)
        .where(other.destination == DeliveryRow.destination, other.state.in_(_UNSETTLED), other.id != DeliveryRow.id)
    )
    return or_(DocumentRow.kind != DocumentKind.REJECTION_NOTE, ~unsettled.exists())


def superseded_documents(ledger: Ledger, study_id: StudyId, number: int, destination: str) -> Sequence[PredecessorDocument]:
    """What a destination holds, as it was sent there, of the documents that a revision supersedes and no earlier note has rejected.

    A kind of which the revision's own documents were given up there stays: nothing has taken its place.
    """
    note = DocumentRow.kind == DocumentKind.REJECTION_NOTE
    with ledger.reading() as session:
        rejected_before = _number_of_last_note(session, study_id, number, destination)
        given_up = _at(destination, select(DocumentRow.kind)).where(
            RevisionRow.study_id == study_id, RevisionRow.number == number, DeliveryRow.state == DeliveryState.GIVEN_UP
        )
        held = (
            _at(destination, select(DocumentRow))
            .where(RevisionRow.study_id == study_id, RevisionRow.number >= rejected_before, RevisionRow.number < number)
            .where(DeliveryRow.state == DeliveryState.DELIVERED, ~note, DocumentRow.kind.not_in(given_up))
            .order_by(DocumentRow.id)
        )
        study = session.get_one(StudyRow, study_id)
        return [
            PredecessorDocument(row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid, study.study_instance_uid)
            for row in session.scalars(held)
        ]


def _number_of_last_note(session: Session, study_id: StudyId, number: int, destination: str) -> int:
    """The revision whose note has rejected everything before it; 0 where there is none."""
    query = _at(destination, select(func.max(RevisionRow.number))).where(
        RevisionRow.study_id == study_id,
        RevisionRow.number < number,
        DocumentRow.kind == DocumentKind.REJECTION_NOTE,
        DeliveryRow.state == DeliveryState.DELIVERED,
    )
    return session.scalar(query) or 0


def _at(destination: str, query: _Query) -> _Query:
    joined = query.select_from(DeliveryRow).join(DocumentRow, DocumentRow.id == DeliveryRow.document_id)
    return joined.join(RevisionRow, RevisionRow.id == DocumentRow.revision_id).where(DeliveryRow.destination == destination)
