"""When a rejection note of ours may go to a destination, and what it names: what that destination holds of earlier revisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import aliased

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.states import DeliveryState
from dosremc_node.ledger.tables import DeliveryRow, DocumentRow, RevisionRow, StudyRow
from dosremc_node.records import DocumentKind, PredecessorDocument, StudyId

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

    A kind of which the revision's own documents were given up there stays: nothing has taken its place. A later note rejects it.
    """
    query = select(RevisionRow.number, DeliveryRow.state, DocumentRow).select_from(DeliveryRow)
    query = query.join(DocumentRow, DocumentRow.id == DeliveryRow.document_id).join(RevisionRow, RevisionRow.id == DocumentRow.revision_id)
    query = query.where(DeliveryRow.destination == destination, RevisionRow.study_id == study_id, RevisionRow.number <= number)
    with ledger.reading() as session:
        study = session.get_one(StudyRow, study_id)
        rows = session.execute(query.order_by(DocumentRow.id)).all()
    held = [(made_by, row) for made_by, state, row in rows if made_by < number and state == DeliveryState.DELIVERED]
    notes = {made_by for made_by, row in held if row.kind == DocumentKind.REJECTION_NOTE}
    spared = {(made_by, row.kind) for made_by, state, row in rows if state == DeliveryState.GIVEN_UP}
    return [
        PredecessorDocument(row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid, study.study_instance_uid)
        for made_by, row in held
        if row.kind != DocumentKind.REJECTION_NOTE
        and (number, row.kind) not in spared
        and not any(made_by < note and (note, row.kind) not in spared for note in notes)
    ]
