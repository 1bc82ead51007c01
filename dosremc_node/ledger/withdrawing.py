"""What the ledger does when a rejection note arrives: images are withdrawn, and their studies are due anew.

What a note names is withdrawn where it is an image of the study that the note says; the image stays on the disk. What is not there
(yet), or lies in another study, is only kept in mind. An image that arrives after its note is withdrawn at once, and one that comes
again stays withdrawn (`receiving`); only after an expired retention period is it taken back, because nothing is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from dosremc_node.ledger import audit, rejections
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.receiving import DueRule, move_deadline
from dosremc_node.ledger.rejections import RejectionRow
from dosremc_node.ledger.states import STANDINGS, Standing, check_transition
from dosremc_node.ledger.tables import InstanceRow, StudyRow
from dosremc_node.records import ReceivedObject, RejectionNote


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a note did: how many images it withdrew now, and how many further objects it names."""

    withdrawn: int
    kept_in_mind: int


def record_note(ledger: Ledger, note: RejectionNote, received: ReceivedObject, due: DueRule) -> Withdrawal:
    """Enter a rejection note and withdraw what it names. When this returns, the rows are committed; the same note again does nothing.

    Each study that loses an image waits as if an image had arrived, for a retake or a further note.
    """
    with ledger.transaction() as session:
        rejections.keep_all_out(session)
        if rejections.is_known_note(session, note.sop_instance_uid):
            return Withdrawal(0, 0)
        session.add_all(_rows(note, received))
        withdrawn = 0
        for study_instance_uid in sorted({study for study, _ in note.rejected}):
            withdrawn += _withdraw(session, study_instance_uid, note, received, due)
        if not withdrawn:
            _trace(session, f"note {received.sha256[:12]}", note, received, images=0)
        return Withdrawal(withdrawn, len(note.rejected) - withdrawn)


def _rows(note: RejectionNote, received: ReceivedObject) -> Sequence[RejectionRow]:
    return [
        RejectionRow(
            note_sop_instance_uid=note.sop_instance_uid,
            reason=note.reason,
            study_instance_uid=study,
            sop_instance_uid=instance,
            calling_ae_title=received.calling_ae_title,
            received_at=received.received_at,
        )
        for study, instance in note.rejected
    ]


def _withdraw(session: Session, study_instance_uid: str, note: RejectionNote, received: ReceivedObject, due: DueRule) -> int:
    """Withdraw what the note names of one study; answers how many images that were."""
    study = session.scalar(select(StudyRow).where(StudyRow.study_instance_uid == study_instance_uid).with_for_update())
    if study is None:
        return 0
    named = {instance for of_study, instance in note.rejected if of_study == study_instance_uid}
    query = select(InstanceRow).where(InstanceRow.study_id == study.study_id, InstanceRow.standing == Standing.PRIMARY)
    images = [row for row in session.scalars(query) if row.sop_instance_uid in named]
    for row in images:
        check_transition(STANDINGS, f"instance {row.id}", Standing(row.standing), Standing.WITHDRAWN)
        row.standing = Standing.WITHDRAWN
    if images:
        session.flush()
        move_deadline(session, study, received.received_at, due)
        _trace(session, study.study_id, note, received, images=len(images))
    return len(images)


def _trace(session: Session, subject: str, note: RejectionNote, received: ReceivedObject, *, images: int) -> None:
    detail = {"reason": note.reason, "images": images, "named": len(note.rejected), "note_sha256": received.sha256}
    audit.append(session, received.calling_ae_title, "rejection note", subject, detail)
