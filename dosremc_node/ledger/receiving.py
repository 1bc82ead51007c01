"""What the ledger does when an object arrives: one study row, one instance row, one deadline."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dosremc_node.ledger import audit, conflicts, rejections
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.states import STANDINGS, RevisionState, Standing, check_transition
from dosremc_node.ledger.tables import DocumentRow, InstanceRow, RevisionRow, StudyRow, fitting
from dosremc_node.records import ImageHeader, ReceivedObject, StudyId, from_json, to_json

_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ23456789"

DueRule = Callable[[Sequence[ImageHeader], datetime, datetime], datetime]
"""When a study is due, from the headers of its images, the time of its first image of this wave, and of its last."""


class Receipt(StrEnum):
    """What an arriving object turned out to be."""

    NEW = "new"
    DUPLICATE = "duplicate"
    BACK = "back"
    """A duplicate of an image that had been removed, or was missing: it is there again."""
    CONTENDER = "contender"
    WITHDRAWN = "withdrawn"
    """A rejection note that came before it withdraws it."""
    TAKEN_BACK = "taken back"
    """It had been withdrawn because its retention period had expired, and was sent again."""


def record_object(ledger: Ledger, received: ReceivedObject, header: ImageHeader, due: DueRule) -> Receipt:
    """Enter an object that lies safely among the artifacts. When this returns, the row is committed.

    The same bytes twice are one instance, also where they had been removed in between; other bytes under a known UID wait
    as a contender until they are compared. A new image moves the study's deadline, a duplicate does not.
    """
    try:
        return _record(ledger, received, header, due)
    except IntegrityError:
        # Another association entered the same study or UID a moment ago: its row is there now.
        return _record(ledger, received, header, due)


def _record(ledger: Ledger, received: ReceivedObject, header: ImageHeader, due: DueRule) -> Receipt:
    with ledger.transaction() as session:
        rejections.keep_notes_out(session)
        same_uid = session.scalars(select(InstanceRow).where(InstanceRow.sop_instance_uid == received.sop_instance_uid)).all()
        known = next((row for row in same_uid if row.sha256 == received.sha256), None)
        if _take_back(session, same_uid, received, header, due) and known:
            _again(session, known, received)
            return Receipt.TAKEN_BACK
        if known:
            return _again(session, known, received)
        study = _study(session, received, header)
        standing = Standing.CONTENDER if same_uid else _first_standing(session, header)
        conflicts.note_identity(session, study, header.who, standing, received.received_at)
        session.add(_instance(study, received, header, standing))
        session.flush()
        # A withdrawn image adds nothing to a report that there is already.
        if standing is Standing.PRIMARY or (standing is Standing.WITHDRAWN and not study.revisions):
            move_deadline(session, study, received.received_at, due)
    return _RECEIPTS[standing]


_RECEIPTS = {Standing.PRIMARY: Receipt.NEW, Standing.CONTENDER: Receipt.CONTENDER, Standing.WITHDRAWN: Receipt.WITHDRAWN}


def _first_standing(session: Session, header: ImageHeader) -> Standing:
    reason = rejections.reason_of(session, header.who.study_instance_uid, header.sop_instance_uid)
    return Standing.WITHDRAWN if reason and reason.lasts else Standing.PRIMARY


def _take_back(session: Session, same_uid: Sequence[InstanceRow], received: ReceivedObject, header: ImageHeader, due: DueRule) -> bool:
    """Take back a withdrawn image that is sent again, unless its rejection lasts; answers whether it was so."""
    withdrawn = next((row for row in same_uid if row.standing == Standing.WITHDRAWN), None)
    if withdrawn is None:
        return False
    reason = rejections.reason_of(session, header.who.study_instance_uid, withdrawn.sop_instance_uid)
    if reason is None or reason.lasts:
        return False
    study = session.get_one(StudyRow, withdrawn.study_id, with_for_update=True)
    check_transition(STANDINGS, f"instance {withdrawn.id}", Standing(withdrawn.standing), Standing.PRIMARY)
    # While it was withdrawn, what came was not compared with it.
    conflicts.note_identity(session, study, from_json(ImageHeader, withdrawn.header).who, Standing.PRIMARY, received.received_at)
    withdrawn.standing = Standing.PRIMARY
    study.last_received_at = received.received_at
    session.flush()
    move_deadline(session, study, received.received_at, due)
    audit.append(session, received.calling_ae_title, "image taken back", study.study_id, {"reason": reason, "sha256": withdrawn.sha256})
    return True


def _again(session: Session, known: InstanceRow, received: ReceivedObject) -> Receipt:
    if known.removed_at is None and known.missing_since is None:
        return Receipt.DUPLICATE
    # The study first and then its instance, as everywhere: so that no two transactions wait for each other.
    session.get_one(StudyRow, known.study_id, with_for_update=True).last_received_at = received.received_at
    known.removed_at = known.missing_since = None
    return Receipt.BACK


def _study(session: Session, received: ReceivedObject, header: ImageHeader) -> StudyRow:
    who = header.who
    # Locked, so that two images of one study that arrive together do not overwrite each other's deadline.
    row = session.scalar(select(StudyRow).where(StudyRow.study_instance_uid == who.study_instance_uid).with_for_update())
    if row is None:
        row = StudyRow(
            study_id=new_study_id(),
            study_instance_uid=who.study_instance_uid,
            patient_id=fitting(StudyRow.patient_id, who.patient_id),
            issuer_of_patient_id=fitting(StudyRow.issuer_of_patient_id, who.issuer_of_patient_id),
            accession_number=fitting(StudyRow.accession_number, who.accession_number),
            study_date=who.study_date,
            first_received_at=received.received_at,
            last_received_at=received.received_at,
        )
        session.add(row)
    row.last_received_at = received.received_at
    return row


def new_study_id() -> StudyId:
    """A name that says nothing of the patient and is safe in logs."""
    return StudyId("S-" + "".join(secrets.choice(_LETTERS) for _ in range(12)))


def _instance(study: StudyRow, received: ReceivedObject, header: ImageHeader, standing: Standing) -> InstanceRow:
    return InstanceRow(
        study_id=study.study_id,
        sop_instance_uid=received.sop_instance_uid,
        sop_class_uid=received.sop_class_uid,
        transfer_syntax_uid=received.transfer_syntax_uid,
        sha256=received.sha256,
        size=received.size,
        standing=standing,
        header=to_json(header),
        manufacturer=fitting(InstanceRow.manufacturer, header.scanner.manufacturer),
        model=fitting(InstanceRow.model, header.scanner.model),
        software_version=fitting(InstanceRow.software_version, header.scanner.software_version),
        calling_ae_title=received.calling_ae_title,
        peer_address=received.peer_address,
        received_at=received.received_at,
    )


def move_deadline(session: Session, study: StudyRow, now: datetime, due: DueRule) -> None:
    """Say anew when a study is due, after what happened to it ``now``; its row is locked."""
    if study.due_at is None:
        study.waiting_since = now
    headers = session.scalars(
        select(InstanceRow.header).where(InstanceRow.study_id == study.study_id, InstanceRow.standing == Standing.PRIMARY)
    )
    images = [from_json(ImageHeader, text) for text in headers]
    study.due_at = due(images, study.waiting_since or now, now)


def next_arrival(ledger: Ledger, after: int) -> tuple[int, str, ImageHeader] | None:
    """The first image after instance ``after`` whose study is still to be assessed: its instance id, digest and header."""
    assessing = select(RevisionRow.id).where(RevisionRow.study_id == StudyRow.study_id, RevisionRow.state == RevisionState.ASSESSING)
    query = (
        select(InstanceRow)
        .join(InstanceRow.study)
        .where(StudyRow.due_at.is_not(None) | assessing.exists(), InstanceRow.standing == Standing.PRIMARY)
    )
    with ledger.reading() as session:
        row = session.scalars(query.where(InstanceRow.id > after).order_by(InstanceRow.id).limit(1)).first()
        return (row.id, row.sha256, from_json(ImageHeader, row.header)) if row else None


def is_our_document(ledger: Ledger, sop_instance_uid: str) -> bool:
    """Whether a document of this UID was rendered here: autorouting sends our own reports back (promise 5)."""
    with ledger.reading() as session:
        return bool(session.scalar(select(func.count()).where(DocumentRow.sop_instance_uid == sop_instance_uid)))


def contenders(ledger: Ledger) -> Sequence[int]:
    """The instances that wait to be compared with the primary of their UID."""
    with ledger.reading() as session:
        return session.scalars(select(InstanceRow.id).where(InstanceRow.standing == Standing.CONTENDER).order_by(InstanceRow.id)).all()


def contender_and_primary(ledger: Ledger, instance_id: int) -> tuple[str, str] | None:
    """The digests of a contender and of its primary; None where it is no contender any more."""
    with ledger.reading() as session:
        row = session.get_one(InstanceRow, instance_id)
        if row.standing != Standing.CONTENDER:
            return None
        first = InstanceRow.standing.in_((Standing.PRIMARY, Standing.WITHDRAWN))
        primary = select(InstanceRow.sha256).where(InstanceRow.sop_instance_uid == row.sop_instance_uid, first).order_by(InstanceRow.id)
        return row.sha256, session.scalars(primary.limit(1)).one()


def settle_contender(ledger: Ledger, instance_id: int, standing: Standing) -> None:
    """Enter what the comparison found."""
    with ledger.transaction() as session:
        row = session.get_one(InstanceRow, instance_id, with_for_update=True)
        check_transition(STANDINGS, f"instance {instance_id}", Standing(row.standing), standing)
        row.standing = standing
