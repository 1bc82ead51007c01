"""Reports are matched to exams by number, patient and dates, and matched again when these change. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from harness.ledger import image
from harness.messages_in_the_ledger import says
from harness.outcomes import EXAMINED, JANE, REPORT, exam, only

from dosremc_node.errors import NoSuchOutcome, NoSuchStudy, WrongOutcomeResolution
from dosremc_node.ledger import Ledger, audit
from dosremc_node.ledger.demographics import list_changes, undo
from dosremc_node.ledger.outcome_tables import OutcomeState
from dosremc_node.ledger.outcomes import WITHIN, Decision, enter_report, list_outcomes, match_due, outcome_counts, resolve
from dosremc_node.ledger.receiving import record_object
from dosremc_node.records import Diagnosis, Laterality, OutcomeReport, OutcomeStatus, PatientIdentifier, PatientMerge, StudyId

NOW = datetime(2024, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
MARY = PatientIdentifier("MARY", "HOSPITAL")


def entered(ledger: Ledger, report: OutcomeReport = REPORT, now: datetime = NOW) -> tuple[OutcomeState, StudyId | None, str]:
    """Where a report goes that comes now."""
    found = only(ledger, enter_report(ledger, report, now))
    return found.state, found.study_id, found.reason


# --- Matching ---------------------------------------------------------------------------------------------------------


def test_patient_and_dates_find_the_exam(ledger: Ledger) -> None:
    """Her last exam before the biopsy, with a score that says how certain that is; an exam after it is not meant."""
    exam(ledger, on=EXAMINED - timedelta(days=700))
    meant = exam(ledger)
    exam(ledger, on=EXAMINED + timedelta(days=20))
    exam(ledger, MARY)
    assert entered(ledger)[:2] == (OutcomeState.MATCHED, meant)
    assert list_outcomes(ledger)[0].score == 0.8


def test_an_accession_number_of_hers_comes_first(ledger: Ledger) -> None:
    """It names the exam, also where a later one stands between."""
    meant = exam(ledger, accession_number="A7")
    exam(ledger, on=EXAMINED + timedelta(days=7), accession_number="A8")
    assert entered(ledger, replace(REPORT, accession_number="A7"))[:2] == (OutcomeState.MATCHED, meant)
    assert list_outcomes(ledger)[0].score == 1.0


def test_a_number_of_the_laboratory_that_no_exam_has_says_nothing(ledger: Ledger) -> None:
    """Pathology numbers its specimens itself."""
    meant = exam(ledger, accession_number="A7")
    assert entered(ledger, replace(REPORT, accession_number="H24-0815"))[:2] == (OutcomeState.MATCHED, meant)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"laterality": None}, "which breast"),
        ({"diagnosis": None}, "what was found"),
        ({"review": "the text names both sides"}, "both sides"),
        ({"examined_on": None}, "neither says when"),
        ({"accession_number": "HERS", "examined_on": EXAMINED - timedelta(days=1)}, "dated before"),
        ({"accession_number": "HERS", "examined_on": EXAMINED + timedelta(days=2000)}, "too long after"),
        ({"accession_number": "ANOTHERS"}, "another patient"),
        ({"accession_number": "HERS", "patient": PatientIdentifier("")}, "no patient"),
        ({"accession_number": "ONLY-RIGHT"}, "no image of that breast"),
    ],
)
def test_what_is_not_certain_waits_for_a_person_with_its_reason(ledger: Ledger, change: dict[str, object], why: str) -> None:
    """Nothing is guessed: neither breast, nor diagnosis, nor exam."""
    exam(ledger, accession_number="HERS")
    exam(ledger, accession_number="ONLY-RIGHT", sides=(Laterality.RIGHT,), on=EXAMINED + timedelta(days=1))
    exam(ledger, MARY, accession_number="ANOTHERS")
    state, _, reason = entered(ledger, replace(REPORT, **change))
    assert (state, why in reason) == (OutcomeState.REVIEW, True), reason


def test_two_exams_on_one_day_are_a_person_s_to_choose_from(ledger: Ledger) -> None:
    """One of the other breast is none of them."""
    meant = exam(ledger)
    exam(ledger, sides=(Laterality.RIGHT,))
    assert entered(ledger)[1] == meant
    exam(ledger)
    match_due(ledger, WITHIN, LATER)
    assert list_outcomes(ledger)[0].state is OutcomeState.REVIEW


def test_an_outcome_that_comes_before_its_exam_waits_for_it(ledger: Ledger) -> None:
    """And is matched once the exam is complete; one that is too old is not hers to wait for."""
    assert entered(ledger)[0] is OutcomeState.WAITING
    exam(ledger, on=REPORT.examined_on - WITHIN - timedelta(days=1))
    assert match_due(ledger, WITHIN, LATER) == 1
    assert list_outcomes(ledger)[0].state is OutcomeState.WAITING
    meant = exam(ledger)
    assert match_due(ledger, WITHIN, LATER) == 1
    (found,) = list_outcomes(ledger)
    assert (found.state, found.study_id, found.settled_at) == (OutcomeState.MATCHED, meant, LATER)
    assert match_due(ledger, WITHIN, LATER) == 0


def test_the_window_is_as_long_as_the_settings_say(ledger: Ledger) -> None:
    """An exam on its first day is in, one the day before is not."""
    exam(ledger)
    report = replace(REPORT, examined_on=EXAMINED + timedelta(days=30))
    enter_report(ledger, report, NOW, timedelta(days=30))
    enter_report(ledger, replace(report, identifier="R2"), NOW, timedelta(days=29))
    assert [each.state for each in list_outcomes(ledger)] == [OutcomeState.MATCHED, OutcomeState.WAITING]


def test_a_study_in_which_two_women_stand_is_nobody_s_exam(ledger: Ledger) -> None:
    """Its outcome waits until a person has said whose images stay."""
    exam(ledger, accession_number="A7")
    received, header = image(9, "1.2.9")
    who = replace(header.who, patient_id="JANE", issuer_of_patient_id="HOSPITAL", accession_number="A9", study_date=EXAMINED)
    record_object(ledger, received, replace(header, who=who), lambda *_: NOW)
    received, header = image(10, "1.2.9")
    record_object(ledger, received, replace(header, who=replace(who, patient_id="MARY")), lambda *_: NOW)
    state, _, reason = entered(ledger, replace(REPORT, accession_number="A9"))
    assert (state, reason) == (OutcomeState.REVIEW, "two patients stand in its exam")


def test_an_outcome_and_its_exam_that_come_together_do_not_miss_each_other(ledger: Ledger) -> None:
    """Whichever is committed first, the other one sees it, or has it matched again."""
    patients = [PatientIdentifier(f"W{number}", "HOSPITAL") for number in range(8)]
    reports = [replace(REPORT, patient=patient, identifier=f"R{place}") for place, patient in enumerate(patients)]
    with ThreadPoolExecutor(4) as together:
        for patient, report in zip(patients, reports, strict=True):
            together.submit(exam, ledger, patient)
            together.submit(enter_report, ledger, report, NOW)
    match_due(ledger, WITHIN, LATER)
    assert outcome_counts(ledger)[OutcomeState.MATCHED] == len(patients)


# --- Merges -----------------------------------------------------------------------------------------------------------


def test_a_merge_after_the_outcome_finds_the_exam_and_its_undoing_loses_it(ledger: Ledger) -> None:
    """The laboratory knows her under another number: what the ledger learns of her later counts, and what it unlearns too."""
    meant = exam(ledger, MARY)
    number = enter_report(ledger, REPORT, NOW)
    assert only(ledger, number).state is OutcomeState.WAITING
    says(ledger, PatientMerge(JANE, MARY))
    assert match_due(ledger, WITHIN, LATER) == 1
    assert (only(ledger, number).state, only(ledger, number).study_id) == (OutcomeState.MATCHED, meant)
    undo(ledger, list_changes(ledger)[0].change_id, "someone", "two women")
    assert match_due(ledger, WITHIN, LATER) == 1
    assert (only(ledger, number).state, only(ledger, number).study_id) == (OutcomeState.WAITING, None)
    moves = [entry.detail for entry in audit.entries(ledger) if entry.action == "match outcome"]
    assert [move["is"]["study"] for move in moves] == [None, meant, None]


def test_a_merge_before_the_outcome_counts(ledger: Ledger) -> None:
    """Through as many merges as there were."""
    meant = exam(ledger, MARY)
    says(ledger, PatientMerge(JANE, PatientIdentifier("ANNE", "HOSPITAL")))
    says(ledger, PatientMerge(PatientIdentifier("ANNE", "HOSPITAL"), MARY))
    assert entered(ledger)[:2] == (OutcomeState.MATCHED, meant)


def test_a_number_that_turns_out_to_be_two_women_s_matches_no_more(ledger: Ledger) -> None:
    """Without an issuer it was taken for the only one known; with two there is no telling."""
    exam(ledger, PatientIdentifier("7", "NORTH"))
    enter_report(ledger, replace(REPORT, patient=PatientIdentifier("7")), NOW)
    assert list_outcomes(ledger)[0].state is OutcomeState.MATCHED
    exam(ledger, PatientIdentifier("7", "SOUTH"))
    match_due(ledger, WITHIN, LATER)
    assert list_outcomes(ledger)[0].state is OutcomeState.WAITING


# --- Versions ---------------------------------------------------------------------------------------------------------


def test_the_same_report_twice_is_one(ledger: Ledger) -> None:
    """Whoever sends it again, and however many at a time."""
    exam(ledger)
    with ThreadPoolExecutor(4) as senders:
        numbers = set(senders.map(lambda _: enter_report(ledger, REPORT, NOW), range(8)))
    assert len(numbers) == len(list_outcomes(ledger)) == 1
    assert [entry.action for entry in audit.entries(ledger)].count("enter outcome") == 1


CORRECTED = replace(REPORT, status=OutcomeStatus.CORRECTED, diagnosis=Diagnosis.BENIGN)
WITHDRAWN = replace(REPORT, status=OutcomeStatus.WITHDRAWN, diagnosis=None, laterality=None)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(("second", "state"), [(CORRECTED, OutcomeState.MATCHED), (WITHDRAWN, OutcomeState.WITHDRAWN)])
def test_corrections_and_withdrawals_hold_whichever_comes_first(
    ledger: Ledger, order: tuple[int, int], second: OutcomeReport, state: OutcomeState
) -> None:
    """The label moves to the correction, or goes with the withdrawal; the first report stays as it was, superseded, and the trail tells."""
    exam(ledger)
    numbers = {}
    for place in order:
        report = (REPORT, second)[place]
        numbers[report] = enter_report(ledger, report, NOW)
    assert only(ledger, numbers[second]).state is state
    assert only(ledger, numbers[REPORT]).state is OutcomeState.SUPERSEDED
    assert only(ledger, numbers[REPORT]).diagnosis is Diagnosis.MALIGNANT
    moved = {entry.subject for entry in audit.entries(ledger) if entry.action == "match outcome"}
    assert moved == {f"outcome {each}" for each in numbers.values()}
    assert audit.faults(ledger) == []


def test_where_each_says_when_it_was_issued_the_last_one_holds(ledger: Ledger) -> None:
    """Two corrections that overtake each other, and a result that is reported again after it was withdrawn."""
    exam(ledger)
    second = replace(CORRECTED, issued_at=NOW + timedelta(days=2))
    first = replace(CORRECTED, diagnosis=Diagnosis.NORMAL, issued_at=NOW + timedelta(days=1))
    assert entered(ledger, second)[0] is OutcomeState.MATCHED
    assert entered(ledger, first)[0] is OutcomeState.SUPERSEDED
    again = replace(CORRECTED, identifier="R2", issued_at=NOW + timedelta(days=2))
    assert entered(ledger, replace(WITHDRAWN, identifier="R2", issued_at=NOW))[0] is OutcomeState.WITHDRAWN
    assert entered(ledger, again)[0] is OutcomeState.MATCHED


def test_a_preliminary_report_labels_nothing(ledger: Ledger) -> None:
    """It waits for the final one, which replaces it also where it comes first."""
    exam(ledger)
    preliminary = replace(REPORT, status=OutcomeStatus.PRELIMINARY)
    assert entered(ledger, preliminary)[0] is OutcomeState.WAITING
    assert entered(ledger)[0] is OutcomeState.MATCHED
    assert entered(ledger, replace(preliminary, text="late"))[0] is OutcomeState.SUPERSEDED


def test_two_final_reports_that_differ_are_a_person_s_to_decide(ledger: Ledger) -> None:
    """A second one that does not call itself a correction may be of the other breast: neither is believed."""
    exam(ledger)
    enter_report(ledger, REPORT, NOW)
    state, _, reason = entered(ledger, replace(REPORT, laterality=Laterality.RIGHT))
    assert (state, "something else" in reason) == (OutcomeState.REVIEW, True)
    assert outcome_counts(ledger)[OutcomeState.MATCHED] == 0


def test_the_same_identifier_of_another_source_is_another_result(ledger: Ledger) -> None:
    """Two laboratories may number alike."""
    exam(ledger)
    assert [entered(ledger, replace(REPORT, source=source))[0] for source in ("LAB", "REGISTRY")] == [OutcomeState.MATCHED] * 2


# --- A person ---------------------------------------------------------------------------------------------------------


def test_a_person_says_what_the_report_does_not(ledger: Ledger) -> None:
    """Only that: the exam is still found by patient and dates, and found again when they change. The trail names the person."""
    meant = exam(ledger)
    number = enter_report(ledger, replace(REPORT, laterality=None, review="no side"), NOW)
    settled = resolve(ledger, number, Decision(laterality=Laterality.RIGHT, reason="asked the laboratory"), "someone")
    assert (settled.state, settled.study_id, settled.laterality) == (OutcomeState.MATCHED, meant, Laterality.RIGHT)
    (entry,) = [entry for entry in audit.entries(ledger) if entry.action == "resolve outcome"]
    assert (entry.actor, entry.detail["reason"]) == ("someone", "asked the laboratory")


def test_what_a_person_leaves_open_is_not_guessed(ledger: Ledger) -> None:
    """A decision that leaves it uncertain is refused, and changes nothing."""
    exam(ledger)
    number = enter_report(ledger, replace(REPORT, laterality=None, diagnosis=None), NOW)
    with pytest.raises(WrongOutcomeResolution, match="what was found"):
        resolve(ledger, number, Decision(laterality=Laterality.LEFT), "someone")
    assert only(ledger, number).laterality is None
    with pytest.raises(NoSuchStudy):
        resolve(ledger, number, Decision(study_id=StudyId("S-NONE")), "someone")


def test_a_person_s_choice_stays_when_exams_come(ledger: Ledger) -> None:
    """She named the exam: a later one does not take its place. A dismissed report stays dismissed."""
    first, _ = exam(ledger), exam(ledger)
    number, other = enter_report(ledger, REPORT, NOW), enter_report(ledger, replace(REPORT, identifier="R2"), NOW)
    resolve(ledger, number, Decision(study_id=first), "someone")
    resolve(ledger, other, Decision(dismissed=True), "someone")
    exam(ledger, on=EXAMINED + timedelta(days=5))
    match_due(ledger, WITHIN, LATER)
    assert (only(ledger, number).study_id, only(ledger, other).state) == (first, OutcomeState.DISMISSED)


def test_a_correction_takes_the_place_of_a_report_that_a_person_resolved(ledger: Ledger) -> None:
    """What she said was of the report she saw; that one can no longer be resolved."""
    exam(ledger)
    number = enter_report(ledger, replace(REPORT, laterality=None), NOW)
    resolve(ledger, number, Decision(laterality=Laterality.LEFT), "someone")
    assert entered(ledger, replace(CORRECTED, laterality=Laterality.RIGHT))[0] is OutcomeState.MATCHED
    with pytest.raises(NoSuchOutcome):
        resolve(ledger, number, Decision(laterality=Laterality.LEFT), "someone")


def test_a_report_that_is_printed_by_accident_names_nobody(ledger: Ledger) -> None:
    """Neither patient nor accession number nor text."""
    secret = replace(REPORT, patient=PatientIdentifier("SECRET"), accession_number="SECRET", identifier="SECRET", text="SECRET")
    number = enter_report(ledger, secret, NOW)
    assert "SECRET" not in repr(only(ledger, number)).replace(repr(secret), "")


@pytest.mark.parametrize("text", ["x" * 5000, "a\0b"])
def test_no_text_of_a_report_is_too_much_for_the_database(ledger: Ledger, text: str) -> None:
    """PostgreSQL takes neither NUL nor more than a column holds: a strange report waits like any other."""
    report = replace(REPORT, source=text, identifier=text, accession_number=text, patient=PatientIdentifier(text, text), text=text)
    assert entered(ledger, report)[0] is OutcomeState.WAITING
    assert enter_report(ledger, report, LATER) == list_outcomes(ledger)[0].outcome_id


def test_the_day_of_an_exam_without_a_date_is_the_day_it_came(ledger: Ledger) -> None:
    """Old units write none."""
    received, header = image(9, "1.2.9", at=datetime(2024, 3, 1, tzinfo=UTC))
    who = replace(header.who, patient_id="JANE", issuer_of_patient_id="HOSPITAL", accession_number="", study_date=None)
    record_object(ledger, received, replace(header, who=who), lambda *_: NOW)
    assert entered(ledger)[0] is OutcomeState.MATCHED
    assert entered(ledger, replace(REPORT, identifier="R2", examined_on=date(2024, 2, 29)))[0] is OutcomeState.WAITING
