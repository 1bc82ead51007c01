"""Which exam a report of pathology or follow-up is of: by accession number, patient and dates, with a score and in words why.

Only what is certain is a match; the rest waits for a person, or for an exam that has not come. The scores:

====  ==================================================================
1.0   accession number, patient and dates agree, or a person said so
0.9   accession number and patient, without a date; or patient and dates, and she had one exam in that time
0.8   patient and dates: the latest of several exams
0.5   something of it is not certain, such as the accession number alone where report or exam name no patient: a person is asked
0.3   the accession number is of another patient's exam: a person is asked
0.0   no exam
====  ==================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from dosremc_node.ledger.conflicts import two_patients_stand_in
from dosremc_node.ledger.demographics import identities
from dosremc_node.ledger.outcome_tables import OutcomeState
from dosremc_node.ledger.states import Standing
from dosremc_node.ledger.tables import InstanceRow, StudyRow, fitting
from dosremc_node.records import Diagnosis, ImageHeader, Laterality, OutcomeStatus, PatientIdentifier, from_json

BY_A_PERSON = "a person said so"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a report says, a person's word included. ``study_id`` is an exam that a person named; ``doubts`` are why a person is to look."""

    status: OutcomeStatus
    patient: PatientIdentifier = field(repr=False)
    accession_number: str = field(repr=False)
    laterality: Laterality | None
    diagnosis: Diagnosis | None
    examined_on: date | None
    study_id: str | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """Where a report belongs. In review ``study_id`` is the likeliest exam, None where there is none."""

    state: OutcomeState
    study_id: str | None
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class _Found:
    study_id: str | None
    score: float
    reason: str
    state: OutcomeState = OutcomeState.MATCHED


def find_match(session: Session, facts: Facts, within: timedelta) -> Match:
    """Where a report belongs, as the ledger is now; an exam may lie ``within`` that time before it."""
    if facts.status is OutcomeStatus.WITHDRAWN:
        return Match(OutcomeState.WITHDRAWN, None, 0.0, "its source took it back")
    found = _exam(session, facts, within)
    if facts.status is OutcomeStatus.PRELIMINARY:
        return Match(OutcomeState.WAITING, found.study_id, found.score, "it is preliminary: the final report is still to come")
    doubts = [*facts.doubts, *_missing(facts)]
    if found.state is OutcomeState.REVIEW:
        doubts.append(found.reason)
    if doubts:
        return Match(OutcomeState.REVIEW, found.study_id, found.score, "; ".join(doubts))
    return Match(found.state, found.study_id, found.score, found.reason)


def _missing(facts: Facts) -> list[str]:
    missing = []
    if facts.laterality is None:
        missing.append("it does not say for certain which breast")
    if facts.diagnosis is None:
        missing.append("it does not say for certain what was found")
    return missing


def _exam(session: Session, facts: Facts, within: timedelta) -> _Found:
    if facts.study_id is not None:
        return _Found(facts.study_id, 1.0, BY_A_PERSON)
    hers = _studies_of(session, facts.patient)
    named = _studies_named(session, facts.accession_number)
    hers_named = [study for study in named if study.study_id in {each.study_id for each in hers}]
    if hers_named:
        found = _by_number(session, hers_named, facts, within)
    elif named and not (facts.patient.patient_id and any(study.patient_id for study in named)):
        only = named[0].study_id if len(named) == 1 else None
        found = _Found(only, 0.5, "its accession number names an exam, and one of the two no patient", OutcomeState.REVIEW)
    elif named:
        found = _Found(None, 0.3, "its accession number is of another patient's exam", OutcomeState.REVIEW)
    else:
        found = _by_dates(session, hers, facts, within)
    return _unless_two_patients(session, found)


def _studies_of(session: Session, patient: PatientIdentifier) -> list[StudyRow]:
    """Every study that came under any of her identifiers; none where the report names nobody."""
    if not patient.patient_id:
        return []
    same = identities(session, patient)
    rows = session.scalars(select(StudyRow).where(StudyRow.patient_id.in_({each.patient_id for each in same})))
    return [row for row in rows if PatientIdentifier(row.patient_id, row.issuer_of_patient_id) in same]


def _studies_named(session: Session, accession_number: str) -> Sequence[StudyRow]:
    number = fitting(StudyRow.accession_number, accession_number)
    return session.scalars(select(StudyRow).where(StudyRow.accession_number == number)).all() if number else ()


def _by_number(session: Session, named: Sequence[StudyRow], facts: Facts, within: timedelta) -> _Found:
    """Among her exams of that accession number: more than one where a modality made several studies of one order."""
    in_time = _in_time(named, facts.examined_on, within)
    if not in_time:
        return _Found(
            named[0].study_id, 0.5, f"{_dated(named[0], facts.examined_on)} the exam of its accession number", OutcomeState.REVIEW
        )
    of_side = _with_side(session, in_time, facts.laterality)
    if not of_side:
        return _Found(in_time[0].study_id, 0.5, "the exam of its accession number has no image of that breast", OutcomeState.REVIEW)
    if facts.examined_on is None:
        return _latest(of_side, 0.9, "accession number and patient agree")
    return _latest(of_side, 1.0, "accession number, patient and dates agree")


def _dated(study: StudyRow, examined_on: date | None) -> str:
    return "it is dated before" if examined_on and examined_on < taken_on(study) else "it is dated too long after"


def _by_dates(session: Session, hers: Sequence[StudyRow], facts: Facts, within: timedelta) -> _Found:
    if not hers:
        return _Found(None, 0.0, "no exam of this patient has come", OutcomeState.WAITING)
    if facts.examined_on is None:
        return _Found(None, 0.0, "it neither says when she was examined nor names an exam of hers", OutcomeState.REVIEW)
    in_time = _in_time(hers, facts.examined_on, within)
    if not in_time:
        return _Found(None, 0.0, f"no exam of this patient in the {within.days} days before it has come", OutcomeState.WAITING)
    of_side = _with_side(session, in_time, facts.laterality)
    if not of_side:
        return _Found(None, 0.0, "her exams have no image of that breast", OutcomeState.REVIEW)
    if len(of_side) == 1:
        return _latest(of_side, 0.9, "patient and dates agree: her only exam in that time")
    return _latest(of_side, 0.8, f"patient and dates agree: the latest of her {len(of_side)} exams in that time")


def _in_time(studies: Sequence[StudyRow], examined_on: date | None, within: timedelta) -> list[StudyRow]:
    if examined_on is None:
        return list(studies)
    return [study for study in studies if timedelta(0) <= examined_on - taken_on(study) <= within]


def taken_on(study: StudyRow) -> date:
    """The day of an exam: the study's date, or when it came."""
    return study.study_date or study.first_received_at.date()


def _with_side(session: Session, studies: Sequence[StudyRow], laterality: Laterality | None) -> list[StudyRow]:
    """Those that are not of the other breast alone."""
    if laterality is None:
        return list(studies)
    query = select(InstanceRow.study_id, InstanceRow.header).where(
        InstanceRow.study_id.in_({each.study_id for each in studies}), InstanceRow.standing == Standing.PRIMARY
    )
    sides: dict[str, set[Laterality | None]] = {}
    for study_id, text in session.execute(query):
        sides.setdefault(study_id, set()).add(from_json(ImageHeader, text).laterality)
    other_alone = {next(each for each in Laterality if each is not laterality)}
    return [study for study in studies if sides.get(study.study_id) != other_alone]


def _latest(studies: Sequence[StudyRow], score: float, reason: str) -> _Found:
    last = max(taken_on(study) for study in studies)
    of_that_day = [study for study in studies if taken_on(study) == last]
    if len(of_that_day) > 1:
        return _Found(None, 0.5, f"she had {len(of_that_day)} exams on one day, and it may be of any of them", OutcomeState.REVIEW)
    return _Found(of_that_day[0].study_id, score, reason)


def _unless_two_patients(session: Session, found: _Found) -> _Found:
    mixed = select(StudyRow.study_id).where(StudyRow.study_id == found.study_id, two_patients_stand_in(StudyRow.study_id))
    if found.study_id is None or session.scalar(mixed) is None:
        return found
    return _Found(found.study_id, 0.3, "two patients stand in its exam", OutcomeState.REVIEW)
