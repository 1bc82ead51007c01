"""What the model said of live exams: the one place from which monitoring and recalibration take their scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Date, Row, Select, and_, func, select, type_coerce

from dosremc_node.ledger.conflicts import two_patients_stand_in
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.objections import objected
from dosremc_node.ledger.tables import RevisionRow, StudyRow, fitting
from dosremc_node.records import Domain, Laterality, NotAssessedReason, PatientIdentifier, StudyId, View, from_json

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ScoredView:
    """An image that was scored: ``sha256`` of its file, the network's ``logit`` before any calibration, ``positive`` as it was judged then."""

    sha256: str
    laterality: Laterality
    view: View
    logit: float
    positive: bool


@dataclass(frozen=True, slots=True)
class AssessedExam:
    """The latest assessed revision of a study.

    ``domain`` is that of the bank which scored it, also where that stood in for an unknown scanner. ``taken_on`` is the study's date, or the
    day on which it came where it has none. ``age`` is in years, None where the header does not tell it. ``in_shadow``: the scores were kept
    and not shown. ``not_assessed`` has the reason for each of its images that has no score.
    """

    study_id: StudyId
    scanner_key: str
    domain: Domain
    release_id: str
    bank_sha256: str
    taken_on: date
    age: int | None
    in_shadow: bool
    positive: bool
    images: tuple[ScoredView, ...]
    not_assessed: tuple[NotAssessedReason, ...] = ()


def assessed_exams(
    ledger: Ledger, *, scanner_key: str | None = None, domain: Domain | None = None, since: date | None = None, until: date | None = None
) -> Sequence[AssessedExam]:
    """Exams with scores in the order in which they were taken, from ``since`` on and before ``until``; all where nothing is named.

    Left out are women who objected, studies in which two women stand, and what was left of a study whose images retention had removed.
    """
    return [exam for exam in examined(ledger, scanner_key=scanner_key, domain=domain, since=since, until=until) if exam.images]


def examined(
    ledger: Ledger, *, scanner_key: str | None = None, domain: Domain | None = None, since: date | None = None, until: date | None = None
) -> Sequence[AssessedExam]:
    """The same with those of which no image was scored."""
    query = _latest_assessed()
    if scanner_key is not None:
        query = query.where(RevisionRow.scanner_key == fitting(RevisionRow.scanner_key, scanner_key))
    if domain is not None:
        query = query.where(RevisionRow.domain == domain)
    if since is not None:
        query = query.where(_taken_on() >= since)
    if until is not None:
        query = query.where(_taken_on() < until)
    return list(_exams(ledger, query))


def studies_left_out(ledger: Ledger) -> frozenset[StudyId]:
    """The studies of women who objected: what was taken from them before is to be forgotten too."""
    with ledger.reading() as session:
        women = objected(session)
        numbers = {each.patient_id for each in women}
        query = select(StudyRow.study_id, StudyRow.patient_id, StudyRow.issuer_of_patient_id).where(StudyRow.patient_id.in_(numbers))
        return frozenset(StudyId(study) for study, *patient in session.execute(query) if PatientIdentifier(*patient) in women)


def _taken_on() -> ColumnElement[date]:
    return type_coerce(func.coalesce(StudyRow.study_date, func.date(StudyRow.first_received_at)), Date)


def _latest_assessed() -> Select[*tuple[Any, ...]]:
    """Columns only: there may be a hundred thousand."""
    newest = (
        select(RevisionRow.study_id, func.max(RevisionRow.number).label("number"))
        .where(RevisionRow.assessment.is_not(None))
        .group_by(RevisionRow.study_id)
        .subquery()
    )
    return (
        select(
            RevisionRow.study_id,
            StudyRow.patient_id,
            StudyRow.issuer_of_patient_id,
            RevisionRow.scanner_key,
            RevisionRow.domain,
            RevisionRow.release_id,
            RevisionRow.bank_sha256,
            _taken_on().label("taken_on"),
            RevisionRow.plan,
            RevisionRow.assessment,
        )
        .join(newest, and_(newest.c.study_id == RevisionRow.study_id, newest.c.number == RevisionRow.number))
        .join(StudyRow, StudyRow.study_id == RevisionRow.study_id)
        .where(~two_patients_stand_in(StudyRow.study_id))
        .order_by(_taken_on(), StudyRow.first_received_at, StudyRow.study_id)
    )


def _exams(ledger: Ledger, query: Select[*tuple[Any, ...]]) -> Iterator[AssessedExam]:
    with ledger.reading() as session:
        left_out = objected(session)
        for row in session.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)):
            if PatientIdentifier(row.patient_id, row.issuer_of_patient_id) in left_out:
                continue
            said = from_json(_Said, row.assessment)
            if said.not_assessed is not NotAssessedReason.IMAGES_REMOVED:
                yield _exam(row, said)


# --- From JSON: only what is asked for, a fraction of what a plan and an assessment say -------------------------------


@dataclass(frozen=True, slots=True)
class _Who:
    birth_date: str


@dataclass(frozen=True, slots=True)
class _Header:
    sop_instance_uid: str
    who: _Who


@dataclass(frozen=True, slots=True)
class _Image:
    sha256: str
    header: _Header


@dataclass(frozen=True, slots=True)
class _Plan:
    images: tuple[_Image, ...]


@dataclass(frozen=True, slots=True)
class _Score:
    sop_instance_uid: str
    laterality: Laterality
    view: View
    logit: float
    positive: bool


@dataclass(frozen=True, slots=True)
class _NoScore:
    reason: NotAssessedReason


@dataclass(frozen=True, slots=True)
class _Said:
    images: tuple[_Score, ...]
    positive: bool
    images_not_assessed: tuple[_NoScore, ...]
    not_assessed: NotAssessedReason | None


def _exam(row: Row[*tuple[Any, ...]], said: _Said) -> AssessedExam:
    images = from_json(_Plan, row.plan).images
    digests = {image.header.sop_instance_uid: image.sha256 for image in images}
    birth_date = next((image.header.who.birth_date for image in images if image.header.who.birth_date), "")
    return AssessedExam(
        study_id=StudyId(row.study_id),
        scanner_key=row.scanner_key,
        domain=Domain(row.domain),
        release_id=row.release_id,
        bank_sha256=row.bank_sha256,
        taken_on=row.taken_on,
        age=_age(birth_date, row.taken_on),
        in_shadow=said.not_assessed is not None and bool(said.images),
        positive=said.positive,
        images=tuple(
            ScoredView(digests[each.sop_instance_uid], each.laterality, each.view, each.logit, each.positive) for each in said.images
        ),
        not_assessed=tuple(each.reason for each in said.images_not_assessed),
    )


def _age(birth_date: str, on: date) -> int | None:
    """Whole years from a DICOM date, which old units write with dots; None where there is none, or it lies after the exam."""
    digits = birth_date.replace(".", "")
    if len(digits) != len("YYYYMMDD") or not digits.isdigit():
        return None
    birthday = (int(digits[4:6]), int(digits[6:8]))
    age = on.year - int(digits[:4]) - ((on.month, on.day) < birthday)
    return age if age >= 0 else None
