"""What is known of the truth of each breast of each exam: computed from outcomes and calendar whenever it is asked, and stored nowhere.

The rules stand in `label_rules`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime

import structlog
from sqlalchemy import ColumnElement, func, or_, select, tuple_
from sqlalchemy.orm import Session

from dosremc_node.ledger.audit_arm import flagged
from dosremc_node.ledger.conflicts import two_patients_stand_in
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.demographics import identities
from dosremc_node.ledger.hospital_tables import PatientChangeRow
from dosremc_node.ledger.label_rules import Calendar, Doubt, Exam, Label, Report, Woman, label_of
from dosremc_node.ledger.objections import objected
from dosremc_node.ledger.outcome_matching import taken_on
from dosremc_node.ledger.outcome_tables import AuditArmRow, OutcomeRow, OutcomeState
from dosremc_node.ledger.tables import RevisionRow, StudyRow
from dosremc_node.ledger.women import women_of
from dosremc_node.records import (
    LARGEST_WEIGHT,
    Diagnosis,
    Domain,
    LabelRules,
    LabelState,
    Laterality,
    OutcomeReport,
    PatientIdentifier,
    StudyId,
    from_json,
)

__all__ = ["Label", "label_counts", "labels"]

_AT_ONCE = 500

log = structlog.get_logger(__name__)


def labels(ledger: Ledger, rules: LabelRules, now: datetime) -> Mapping[tuple[StudyId, Laterality], Label]:
    """The label of both breasts of every assessed exam, also of one without images of that breast; women who objected are left out."""
    number_of = women_of(ledger)
    with ledger.reading() as session:
        calendar = Calendar(now, rules, heard_until=session.scalar(select(func.max(OutcomeRow.received_at))))
        women = _women(session, number_of, immature_since=(now - rules.maturity).date())
    found = {
        (exam.study_id, breast): label_of(exam, breast, woman, calendar) for woman in women for exam in woman.exams for breast in Laterality
    }
    _log_weights(found.values())
    return found


def _log_weights(found: Iterable[Label]) -> None:
    weights = Counter(label.weight for label in found if label.state in (LabelState.POSITIVE, LabelState.CONFIRMED_NEGATIVE))
    if set(weights) - {1.0}:
        log.info("selection_weights", labels=weights.total(), without=weights[0.0], at_the_limit=weights[LARGEST_WEIGHT])


def label_counts(ledger: Ledger, rules: LabelRules, now: datetime) -> Mapping[tuple[Domain, LabelState], int]:
    """How many breasts are in each state, by the domain whose bank scored them."""
    found = labels(ledger, rules, now)
    with ledger.reading() as session:
        latest = session.execute(select(RevisionRow.study_id, RevisionRow.domain).where(_is_latest_assessed()))
        domains = {StudyId(study_id): domain for study_id, domain in latest}
    counts = Counter((Domain(domains.get(study_id, "")), label.state) for (study_id, _), label in found.items())
    return {(domain, state): counts[domain, state] for domain in sorted({domain for domain, _ in counts}) for state in LabelState}


def _is_latest_assessed() -> ColumnElement[bool]:
    newest = (
        select(RevisionRow.study_id, func.max(RevisionRow.number)).where(RevisionRow.assessment.is_not(None)).group_by(RevisionRow.study_id)
    )
    return tuple_(RevisionRow.study_id, RevisionRow.number).in_(newest)


# --- From the rows ----------------------------------------------------------------------------------------------------


def _women(session: Session, number_of: Mapping[StudyId, int], immature_since: date) -> list[Woman]:
    """Every woman with an assessed exam who has not objected."""
    left_out, drawn = objected(session), _drawn(session)
    exams: dict[int, list[Exam]] = defaultdict(list)
    numbers: dict[PatientIdentifier, int] = {}
    for study_id, patient, day in _assessed(session):
        number = number_of.get(study_id)  # none for one that came a moment ago
        if number is not None and patient not in left_out:
            exams[number].append(Exam(study_id, day, bool(patient.patient_id), drawn=drawn.get(study_id)))
            numbers[patient] = number
    reports, doubts = _reports(session, number_of), _doubts(session, number_of, numbers)
    early = {exam.study_id for number in reports for exam in exams.get(number, ()) if exam.taken_on >= immature_since}
    shown = _flagged(session, early)
    return [
        Woman([replace(each, flagged=each.study_id in shown) for each in of_woman], reports[number], doubts[number])
        for number, of_woman in exams.items()
    ]


def _assessed(session: Session) -> Iterator[tuple[StudyId, PatientIdentifier, date]]:
    query = select(
        StudyRow.study_id, StudyRow.patient_id, StudyRow.issuer_of_patient_id, StudyRow.study_date, StudyRow.first_received_at
    ).where(
        StudyRow.study_id.in_(select(RevisionRow.study_id).where(RevisionRow.assessment.is_not(None))),
        ~two_patients_stand_in(StudyRow.study_id),
    )
    for study_id, patient_id, issuer, study_date, received_at in session.execute(query):
        yield StudyId(study_id), PatientIdentifier(patient_id, issuer), study_date or received_at.date()


def _drawn(session: Session) -> Mapping[StudyId, float]:
    rows = session.execute(select(AuditArmRow.study_id, AuditArmRow.probability).where(AuditArmRow.drawn))
    return {StudyId(study_id): probability for study_id, probability in rows}


def _reports(session: Session, number_of: Mapping[StudyId, int]) -> defaultdict[int, list[Report]]:
    """What is certain, by the number of the woman."""
    found: defaultdict[int, list[Report]] = defaultdict(list)
    query = select(OutcomeRow, StudyRow).join(StudyRow, StudyRow.study_id == OutcomeRow.study_id)
    for row, study in session.execute(query.where(OutcomeRow.state == OutcomeState.MATCHED)):
        number = number_of.get(StudyId(study.study_id))
        if number is not None and row.laterality and row.diagnosis:  # a match has both
            found[number].append(_report(row, study, Laterality(row.laterality), Diagnosis(row.diagnosis)))
    return found


def _report(row: OutcomeRow, study: StudyRow, laterality: Laterality, diagnosis: Diagnosis) -> Report:
    return Report(
        study_id=StudyId(study.study_id),
        laterality=laterality,
        diagnosis=diagnosis,
        on=row.examined_on or taken_on(study),
        provenance=from_json(OutcomeReport, row.report).provenance,
        known_at=row.settled_at,
    )


def _doubts(session: Session, number_of: Mapping[StudyId, int], numbers: Mapping[PatientIdentifier, int]) -> defaultdict[int, list[Doubt]]:
    """What may be a cancer and is not certain, by the number of each woman whose it may be."""
    found: defaultdict[int, list[Doubt]] = defaultdict(list)
    known = {each.patient_id for each in numbers} | _named_in_merges(session)
    may_be_cancer = or_(OutcomeRow.diagnosis.is_(None), OutcomeRow.diagnosis == Diagnosis.MALIGNANT)
    for row in session.scalars(select(OutcomeRow).where(OutcomeRow.state.in_((OutcomeState.WAITING, OutcomeState.REVIEW)), may_be_cancer)):
        if row.study_id is None and (row.state == OutcomeState.WAITING or row.patient_id not in known):
            continue  # of an exam that has not come
        doubt = Doubt(Laterality(row.laterality) if row.laterality else None, row.examined_on, row.settled_at)
        may_be = {numbers.get(each) for each in identities(session, PatientIdentifier(row.patient_id, row.issuer))}
        may_be |= {number_of.get(StudyId(row.study_id))} if row.study_id else set()
        for number in may_be:
            if number is not None:
                found[number].append(doubt)
    return found


def _named_in_merges(session: Session) -> set[str]:
    columns = (PatientChangeRow.patient_id, PatientChangeRow.prior_patient_id)
    return {number for column in columns for number in session.scalars(select(column).distinct()) if number}


def _flagged(session: Session, study_ids: Collection[StudyId]) -> set[StudyId]:
    """Which of these exams were shown as positive."""
    query = select(RevisionRow.study_id, RevisionRow.assessment).where(_is_latest_assessed())
    found: set[StudyId] = set()
    wanted = sorted(study_ids)
    for start in range(0, len(wanted), _AT_ONCE):  # a database takes so many parameters and no more
        rows = session.execute(query.where(RevisionRow.study_id.in_(wanted[start : start + _AT_ONCE])))
        found |= {StudyId(study_id) for study_id, assessment in rows if assessment and flagged(assessment)}
    return found
