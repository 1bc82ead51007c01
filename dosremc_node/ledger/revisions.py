"""How a revision is opened, taken in hand, assessed, rendered, parked and driven again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dosremc_node.errors import NoSuchStudy, StaleWriter
from dosremc_node.ledger import audit
from dosremc_node.ledger.conflicts import two_patients_stand_in, whose_images_stay
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.rejections import reasons_in
from dosremc_node.ledger.rematching import keep_matching_out, match_again
from dosremc_node.ledger.states import DELIVERIES, REVISIONS, DeliveryState, RevisionState, Standing, check_transition
from dosremc_node.ledger.tables import DeliveryRow, DocumentRow, InstanceRow, RevisionRow, StudyRow, fitting
from dosremc_node.records import (
    Assessment,
    Document,
    DocumentKind,
    ImageHeader,
    NotAssessedReason,
    PatientAndStudy,
    Plan,
    PredecessorDocument,
    RejectionReason,
    StudyId,
    StudyRevision,
    are_two_women,
    from_json,
    to_json,
)


@dataclass(frozen=True, slots=True)
class Hold:
    """A revision in hand: whoever writes under it must still have the latest ``epoch``."""

    study_id: StudyId
    number: int
    epoch: int


PlanRule = Callable[[Sequence[tuple[int, str, ImageHeader]]], Plan]
"""What to do with a study's images: (instance id, digest, header) of each, in the order of arrival. A header
that would be assessed, had the image not been removed, says so (`NotAssessedReason.REMOVED`)."""


def due_studies(ledger: Ledger, now: datetime) -> Sequence[StudyId]:
    """The studies whose next revision is to be opened. One that is still being assessed is left to finish first, and one
    in which two women stand waits for a person.
    """
    assessing = select(RevisionRow.id).where(RevisionRow.study_id == StudyRow.study_id, RevisionRow.state == RevisionState.ASSESSING)
    with ledger.reading() as session:
        query = select(StudyRow.study_id).where(StudyRow.due_at <= now, ~assessing.exists())
        query = query.where(~two_patients_stand_in(StudyRow.study_id)).order_by(StudyRow.due_at)
        return [StudyId(each) for each in session.scalars(query)]


def _waits_for_a_person(session: Session, study_id: StudyId) -> bool:
    query = select(StudyRow.study_id).where(StudyRow.study_id == study_id, two_patients_stand_in(StudyRow.study_id))
    return session.scalar(query) is not None


def open_revision(ledger: Ledger, study_id: StudyId, plan: PlanRule, now: datetime) -> StudyRevision | None:
    """Open the next revision of a study that is due, with its plan pinned; None where another process was faster."""
    with ledger.transaction() as session:
        keep_matching_out(session)
        study = session.get_one(StudyRow, study_id, with_for_update=True)
        if study.due_at is None or study.due_at > now or _waits_for_a_person(session, study_id):
            return None
        latest = _latest(session, study_id)
        decided = plan(_images(session, study))
        row = RevisionRow(
            study_id=study_id,
            number=latest.number + 1 if latest else 1,
            predecessor=_predecessor(latest),
            state=RevisionState.ASSESSING,
            release_id=decided.release_id,
            domain=decided.domain or "",
            bank_sha256=decided.bank.sha256 if decided.bank else "",
            scanner_key=fitting(RevisionRow.scanner_key, str(decided.scanner)) if decided.scanner else "",
            threshold=decided.operating_point.threshold if decided.operating_point else None,
            plan=to_json(decided),
            opened_at=now,
        )
        session.add(row)
        match_again(session, [study.patient_id], study.accession_number)
        study.due_at = study.waiting_since = None
        return _record(row, study)


def _images(session: Session, study: StudyRow) -> list[tuple[int, str, ImageHeader]]:
    """The primary images, and the withdrawn ones with that as the reason why they are not assessed."""
    of_study = InstanceRow.study_id == study.study_id
    query = select(InstanceRow).where(of_study, InstanceRow.standing.in_((Standing.PRIMARY, Standing.WITHDRAWN))).order_by(InstanceRow.id)
    whose, rejected = whose_images_stay(session, StudyId(study.study_id)), reasons_in(session, study.study_instance_uid)
    return [(row.id, row.sha256, _withdrawn_or(row, rejected, _header(row, whose))) for row in session.scalars(query)]


def _withdrawn_or(row: InstanceRow, rejected: Mapping[str, RejectionReason], header: ImageHeader) -> ImageHeader:
    if row.standing != Standing.WITHDRAWN:
        return header
    return replace(header, not_assessed=rejected[row.sop_instance_uid].withdrawn)


def _header(row: InstanceRow, whose: PatientAndStudy | None) -> ImageHeader:
    header = from_json(ImageHeader, row.header)
    if whose and are_two_women(whose, header.who):
        return replace(header, not_assessed=NotAssessedReason.OTHER_PATIENT)
    # One that was never to be assessed keeps the reason for that.
    return replace(header, not_assessed=header.not_assessed or NotAssessedReason.REMOVED) if row.removed_at else header


def _latest(session: Session, study_id: StudyId) -> RevisionRow | None:
    return session.scalars(select(RevisionRow).where(RevisionRow.study_id == study_id).order_by(RevisionRow.number.desc()).limit(1)).first()


def _predecessor(latest: RevisionRow | None) -> int | None:
    """The last revision that has documents: one that was parked before it had any has nothing to supersede."""
    if latest is None:
        return None
    return latest.number if latest.documents else latest.predecessor


def _record(row: RevisionRow, study: StudyRow) -> StudyRevision:
    who = PatientAndStudy(
        study_instance_uid=study.study_instance_uid,
        patient_id=study.patient_id,
        issuer_of_patient_id=study.issuer_of_patient_id,
        accession_number=study.accession_number,
        study_date=study.study_date,
    )
    return StudyRevision(StudyId(row.study_id), row.number, row.predecessor, who, from_json(Plan, row.plan), row.opened_at)


def _row(session: Session, study_id: StudyId, number: int, *, lock: bool = False) -> RevisionRow:
    query = select(RevisionRow).where(RevisionRow.study_id == study_id, RevisionRow.number == number)
    row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NoSuchStudy(study=f"{study_id}:{number}")
    return row


def get_revision(ledger: Ledger, study_id: StudyId, number: int) -> StudyRevision:
    """The revision as it was pinned; raises `NoSuchStudy`."""
    with ledger.reading() as session:
        row = _row(session, study_id, number)
        return _record(row, row.study)


def revisions_to_assess(ledger: Ledger) -> Sequence[tuple[StudyId, int, int]]:
    """Study, number and drive of every revision that waits for its assessment or is in the midst of it."""
    query = select(RevisionRow.study_id, RevisionRow.number, RevisionRow.drive).where(RevisionRow.state == RevisionState.ASSESSING)
    with ledger.reading() as session:
        return [(StudyId(study), number, drive) for study, number, drive in session.execute(query.order_by(RevisionRow.id))]


def take_in_hand(ledger: Ledger, study_id: StudyId, number: int, attempts_at_most: int) -> Hold | None:
    """Begin, or begin again, to assess a revision: a new epoch, which shuts out whoever had it before.

    None where there is nothing to do any more, and where it was tried too often: then it is parked, because it seems to
    bring the worker down (promise 3).
    """
    with ledger.transaction() as session:
        row = _row(session, study_id, number, lock=True)
        if row.state != RevisionState.ASSESSING:
            return None
        row.epoch += 1
        row.attempts += 1
        if row.attempts > attempts_at_most:
            _park(row, f"the worker went down in {attempts_at_most} tries to assess it")
            return None
        return Hold(study_id, number, row.epoch)


def held_row(session: Session, hold: Hold) -> RevisionRow:
    """The row of a revision in hand, locked; raises `StaleWriter` where it is in other hands by now."""
    row = _row(session, hold.study_id, hold.number, lock=True)
    if row.epoch != hold.epoch:
        raise StaleWriter(subject=f"revision {hold.study_id}:{hold.number}", epoch=hold.epoch)
    return row


def keep_assessment(ledger: Ledger, hold: Hold, assessment: Assessment) -> None:
    """Enter what the model said; raises `StaleWriter`."""
    with ledger.transaction() as session:
        row = held_row(session, hold)
        row.assessment = to_json(assessment)
        row.assessed_at = datetime.now(UTC)


def get_assessment(ledger: Ledger, study_id: StudyId, number: int) -> Assessment:
    """What the model said of a revision that was assessed."""
    with ledger.reading() as session:
        text = _row(session, study_id, number).assessment
        if text is None:
            raise NoSuchStudy(study=f"assessment of {study_id}:{number}")
        return from_json(Assessment, text)


def predecessor_documents(ledger: Ledger, revision: StudyRevision) -> Sequence[PredecessorDocument]:
    """The documents that a revision's documents take the place of; none for a first revision. A rejection note is none: it stays true."""
    if revision.predecessor is None:
        return ()
    with ledger.reading() as session:
        return [
            PredecessorDocument(row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid, revision.who.study_instance_uid)
            for row in _in_use(_row(session, revision.study_id, revision.predecessor).documents)
            if row.kind != DocumentKind.REJECTION_NOTE
        ]


def _in_use(documents: Sequence[DocumentRow]) -> Sequence[DocumentRow]:
    """What goes anywhere, and what goes nowhere in any form. An original or a rendition that another has replaced nobody has."""
    replaced = {row.rendition_of for row in documents}
    return [row for row in documents if row.deliveries or not (row.rendition_of or row.sop_instance_uid in replaced)]


def keep_documents(
    ledger: Ledger, hold: Hold, documents: Sequence[tuple[Document, str]], destinations: Sequence[tuple[str, Sequence[str]]]
) -> None:
    """Enter the rendered documents (each with its artifact key) and what is now due where; raises `StaleWriter`.

    ``destinations`` are names with the kinds of document that each takes. From here on the revision is delivering; with
    nothing to deliver it is done.
    """
    now = datetime.now(UTC)
    with ledger.transaction() as session:
        row = held_row(session, hold)
        for document, key in documents:
            kept = DocumentRow(
                kind=document.kind,
                sop_class_uid=document.sop_class_uid,
                sop_instance_uid=document.sop_instance_uid,
                series_instance_uid=document.series_instance_uid,
                description=document.description,
                artifact_key=key,
                rendered_at=now,
            )
            kept.deliveries = [
                DeliveryRow(destination=name, state=DeliveryState.DUE, due_at=now) for name, kinds in destinations if document.kind in kinds
            ]
            row.documents.append(kept)
        images = [each.sop_class_uid for each in row.study.instances if each.standing == Standing.PRIMARY]
        audit.append(session, audit.NODE, audit.ASSESS, f"{row.study_id}:{row.number}", audit.about(row.study, images))
        _advance(row, RevisionState.DELIVERING)
        finish_if_delivered(row)


def _advance(row: RevisionRow, new: RevisionState, reason: str = "") -> None:
    check_transition(REVISIONS, f"revision {row.study_id}:{row.number}", RevisionState(row.state), new)
    row.state = new
    row.reason = reason
    row.finished_at = datetime.now(UTC) if new is RevisionState.DONE else None


def _park(row: RevisionRow, reason: str) -> None:
    _advance(row, RevisionState.PARKED, reason)


def finish_if_delivered(row: RevisionRow) -> None:
    """Done means delivered (promise 2): done when every delivery is, parked when nothing is left to try."""
    if any(delivery.state in (DeliveryState.DUE, DeliveryState.UNCOMMITTED) for delivery in _deliveries(row)):
        return
    if parked := _parked_deliveries(row):
        _park(row, f"{parked[0].destination}: {parked[0].comment}")
    else:
        _advance(row, RevisionState.DONE)


def settle_revision(row: RevisionRow) -> None:
    """After something of a revision was decided from outside: it may be done by that, even where it was parked."""
    if row.state == RevisionState.PARKED and row.documents:
        _advance(row, RevisionState.DELIVERING)
    if row.state == RevisionState.DELIVERING:
        finish_if_delivered(row)


def park_revision(ledger: Ledger, hold: Hold, reason: str) -> None:
    """An assessment that cannot go on is parked with its reason, where `status` shows it (promise 3); raises `StaleWriter`.

    One whose documents are kept has reached its end: whatever went wrong after that, they are delivered.
    """
    with ledger.transaction() as session:
        row = held_row(session, hold)
        if row.state == RevisionState.ASSESSING:
            _park(row, reason)


def drive_again(ledger: Ledger, study_id: StudyId, actor: str) -> int:
    """Put whatever is parked of a study back to work; answers of how many revisions there was anything.

    A revision without documents is assessed again, with the release that was pinned, unless a later one has taken its place:
    its report would be older than it looks. One with documents sends the same bytes, to those who have not got them.
    """
    with ledger.transaction() as session:
        if session.get(StudyRow, study_id) is None:
            raise NoSuchStudy(study=study_id)
        latest = _latest(session, study_id)
        unfinished = RevisionRow.state.in_((RevisionState.PARKED, RevisionState.DELIVERING))
        query = select(RevisionRow).where(RevisionRow.study_id == study_id, unfinished).order_by(RevisionRow.number).with_for_update()
        rows = [row for row in session.scalars(query) if _parked_deliveries(row) or (row.state == RevisionState.PARKED and row is latest)]
        for row in rows:
            _drive(row)
            audit.append(session, actor, "retry", f"{study_id}:{row.number}", {"state": row.state})
        return len(rows)


def _parked_deliveries(row: RevisionRow) -> list[DeliveryRow]:
    return [delivery for delivery in _deliveries(row) if delivery.state == DeliveryState.PARKED]


def _deliveries(row: RevisionRow) -> list[DeliveryRow]:
    return [delivery for document in row.documents for delivery in document.deliveries]


def _drive(row: RevisionRow) -> None:
    row.drive += 1
    row.attempts = 0
    if row.state == RevisionState.PARKED:
        _advance(row, RevisionState.DELIVERING if row.documents else RevisionState.ASSESSING)
    for delivery in _parked_deliveries(row):
        check_transition(DELIVERIES, f"delivery {delivery.id}", DeliveryState.PARKED, DeliveryState.DUE)
        delivery.state, delivery.due_at, delivery.attempts = DeliveryState.DUE, datetime.now(UTC), 0
