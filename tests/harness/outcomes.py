"""Women, their exams and what is reported of them, for tests of outcomes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.outcomes import Outcome, list_outcomes
from dosremc_node.ledger.overview import find_study
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.revisions import keep_assessment, open_revision
from dosremc_node.records import (
    Assessment,
    Diagnosis,
    Laterality,
    OutcomeReport,
    OutcomeStatus,
    PatientIdentifier,
    StudyId,
)
from harness.ledger import held, image, plan

EXAMINED = date(2024, 3, 1)
JANE = PatientIdentifier("JANE", "HOSPITAL")
REPORT = OutcomeReport(
    source="LAB",
    identifier="R1",
    status=OutcomeStatus.FINAL,
    patient=JANE,
    accession_number="",
    laterality=Laterality.LEFT,
    diagnosis=Diagnosis.MALIGNANT,
    examined_on=EXAMINED + timedelta(days=14),
)
_numbers = itertools.count(1000)


def exam(
    ledger: Ledger,
    patient: PatientIdentifier = JANE,
    on: date = EXAMINED,
    accession_number: str = "",
    sides: tuple[Laterality, ...] = tuple(Laterality),
    *,
    positive: bool = False,
    assessed: bool = True,
) -> StudyId:
    """An exam of a woman that came on the day it was taken, complete and, unless that is still to come, assessed."""
    uid, at = f"1.2.{next(_numbers)}", datetime.combine(on, datetime.min.time(), UTC)
    for side in sides:
        number = next(_numbers)
        received, header = image(number, uid, at=at)
        who = replace(
            header.who, patient_id=patient.patient_id, issuer_of_patient_id=patient.issuer, accession_number=accession_number, study_date=on
        )
        record_object(ledger, received, replace(header, who=who, laterality=side), lambda _headers, _since, last: last)
    study_id = find_study(ledger, uid)
    assert study_id is not None
    if assessed:
        revision = open_revision(ledger, study_id, plan, at)
        assert revision is not None
        keep_assessment(ledger, held(ledger, revision), Assessment((), (), 0.5, positive, (), None))
    return study_id


def only(ledger: Ledger, outcome_id: int) -> Outcome:
    """That version of that result."""
    return next(each for each in list_outcomes(ledger) if each.outcome_id == outcome_id)
