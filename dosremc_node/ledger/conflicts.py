"""Where studies contradict themselves, or each other, about who the woman is: noted as objects arrive, decided by a person.

Two women in one study are never scored as one: it opens no revision until somebody has said whether they are the same, or whose images
stay (`conflict_decisions`). Corrected demographics, and an accession number that two patients have, are flagged and hold up nothing. Nothing
is ever merged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, false, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from dosremc_node.ledger.hospital_tables import ConflictRow
from dosremc_node.ledger.states import Standing
from dosremc_node.ledger.tables import InstanceRow, StudyRow, fitting
from dosremc_node.records import ImageHeader, PatientAndStudy, StudyId, are_two_women, differing, from_json

_MOST_OTHERS = 10


class ConflictKind(StrEnum):
    TWO_PATIENTS = "two-patients"
    """Images that the study is made of name different women: it waits for a person."""
    DEMOGRAPHICS = "demographics"
    """The same woman under another name, or images that came again with other demographics."""
    ACCESSION_NUMBER = "accession-number"
    """Another patient's study has the same accession number."""


# --- As objects arrive ------------------------------------------------------------------------------------------------


def note_identity(session: Session, study: StudyRow, who: PatientAndStudy, standing: Standing, at: datetime) -> None:
    """Compare what an arriving object says of the woman with what the study's others said; ``study`` is locked, the object not entered yet."""
    digest = _digest(who)
    if study.identity_sha256 is None and not _has_objects(session, study):
        study.identity_sha256 = digest
    elif study.identity_sha256 != digest:
        study.identity_sha256 = None  # from here on every object is compared with all of them
        _compare(session, study, who, standing, at)
    _compare_accession_number(session, study, who, at)


def _digest(who: PatientAndStudy) -> str:
    return hashlib.sha256("\0".join(identity(who)).encode(errors="surrogatepass")).hexdigest()


def identity(who: PatientAndStudy) -> tuple[str, str, str, str]:
    """What a header says of the woman herself."""
    return who.patient_id, who.issuer_of_patient_id, who.patient_name, who.birth_date


def _has_objects(session: Session, study: StudyRow) -> bool:
    return session.scalar(select(InstanceRow.id).where(InstanceRow.study_id == study.study_id).limit(1)) is not None


def _compare(session: Session, study: StudyRow, who: PatientAndStudy, standing: Standing, at: datetime) -> None:
    headers = headers_of(session, study.study_id)
    # A copy may be of any image; only images of its own make a study two women's.
    others = [known for known, known_as in headers if standing is not Standing.PRIMARY or known_as is Standing.PRIMARY]
    if identity(who) in {identity(known) for known in others}:
        return
    what = sorted({attribute for known in others for attribute in differing(who, known)})
    two = standing is Standing.PRIMARY and any(are_two_women(who, known) for known in others)
    if what:
        _note(session, study, ConflictKind.TWO_PATIENTS if two else ConflictKind.DEMOGRAPHICS, what, at)


def headers_of(session: Session, study_id: str) -> list[tuple[PatientAndStudy, Standing]]:
    """What every object of a study says of the woman and the study, in the order of arrival."""
    query = select(InstanceRow.header, InstanceRow.standing).where(InstanceRow.study_id == study_id).order_by(InstanceRow.id)
    return [(from_json(ImageHeader, text).who, Standing(standing)) for text, standing in session.execute(query)]


def _note(session: Session, study: StudyRow, kind: ConflictKind, what: Iterable[str], at: datetime) -> None:
    """A new conflict, or the one that nobody has decided yet with what is new in it."""
    row = session.scalar(
        select(ConflictRow).where(ConflictRow.study_id == study.study_id, ConflictRow.kind == kind.value, ConflictRow.resolved_at.is_(None))
    )
    if row is None:
        row = ConflictRow(study_id=study.study_id, kind=kind.value, differing="", found_at=at)
        session.add(row)
    row.differing = ", ".join(sorted({*filter(None, row.differing.split(", ")), *what}))


def _compare_accession_number(session: Session, study: StudyRow, who: PatientAndStudy, at: datetime) -> None:
    """Note other patients' studies under the same number: not more than a few, because a modality may give all of them the same one."""
    number = fitting(StudyRow.accession_number, who.accession_number)
    room = _MOST_OTHERS - _noted_others(session, study)
    if not number or room <= 0:
        return
    patient = PatientAndStudy(
        "", fitting(StudyRow.patient_id, who.patient_id), fitting(StudyRow.issuer_of_patient_id, who.issuer_of_patient_id)
    )
    contradicting = or_(
        _contradicts(StudyRow.patient_id, patient.patient_id), _contradicts(StudyRow.issuer_of_patient_id, patient.issuer_of_patient_id)
    )
    same = select(StudyRow).where(StudyRow.accession_number == number, StudyRow.study_id != study.study_id, contradicting)
    for other in session.scalars(same.where(~_is_noted(study.study_id)).order_by(StudyRow.study_id).limit(room)):
        differ = ", ".join(differing(patient, PatientAndStudy("", other.patient_id, other.issuer_of_patient_id)))
        session.add(
            ConflictRow(
                study_id=study.study_id,
                kind=ConflictKind.ACCESSION_NUMBER.value,
                differing=differ,
                other_study_id=other.study_id,
                found_at=at,
            )
        )


def _contradicts(column: InstrumentedAttribute[str], text: str) -> ColumnElement[bool]:
    """As `differing` has it: what is empty contradicts nothing."""
    return (column != text) & (column != "") if text else false()


def _noted_others(session: Session, study: StudyRow) -> int:
    query = select(func.count()).where(ConflictRow.study_id == study.study_id, ConflictRow.kind == ConflictKind.ACCESSION_NUMBER.value)
    return session.scalar(query) or 0


def _is_noted(study_id: str) -> ColumnElement[bool]:
    """Whether a conflict of a study with `StudyRow` is noted, of whichever of the two."""
    this_way = (ConflictRow.study_id == study_id) & (ConflictRow.other_study_id == StudyRow.study_id)
    that_way = (ConflictRow.study_id == StudyRow.study_id) & (ConflictRow.other_study_id == study_id)
    of_the_number = ConflictRow.kind == ConflictKind.ACCESSION_NUMBER.value
    return select(ConflictRow.id).where(of_the_number, this_way | that_way).correlate(StudyRow).exists()


# --- What follows from them -------------------------------------------------------------------------------------------


def two_patients_stand_in(study_id: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Whether a study waits for a person because two women stand in it."""
    return (
        select(ConflictRow.id)
        .where(ConflictRow.study_id == study_id, ConflictRow.kind == ConflictKind.TWO_PATIENTS.value, ConflictRow.resolved_at.is_(None))
        .correlate_except(ConflictRow)
        .exists()
    )


def whose_images_stay(session: Session, study_id: StudyId) -> PatientAndStudy | None:
    """Whose images a person chose for a study; None where all of them are one woman's."""
    text = session.scalar(
        select(ConflictRow.keep)
        .where(ConflictRow.study_id == study_id, ConflictRow.kind == ConflictKind.TWO_PATIENTS.value, ConflictRow.resolved_at.is_not(None))
        .order_by(ConflictRow.resolved_at.desc(), ConflictRow.id.desc())
        .limit(1)
    )
    return from_json(PatientAndStudy, text) if text else None
