"""Labels, objections and the audit arm from the ledger's rows. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from harness.messages_in_the_ledger import says
from harness.outcomes import EXAMINED, JANE, REPORT, exam

from dosremc_node.errors import NoSuchObjection
from dosremc_node.ledger import Ledger, audit
from dosremc_node.ledger.audit_arm import DRAWN_WITHIN, audit_arm_exams, draw
from dosremc_node.ledger.demographics import list_changes, undo
from dosremc_node.ledger.labels import label_counts, labels
from dosremc_node.ledger.objections import list_objections, object_to, objected, revoke
from dosremc_node.ledger.outcome_tables import AuditArmRow
from dosremc_node.ledger.outcomes import WITHIN, Decision, enter_report, match_due, resolve
from dosremc_node.records import (
    Diagnosis,
    Domain,
    LabelRules,
    LabelState,
    Laterality,
    OutcomeStatus,
    PatientIdentifier,
    PatientMerge,
    Provenance,
    StudyId,
)

LEFT, RIGHT = Laterality.LEFT, Laterality.RIGHT
MATURITY = timedelta(days=730)
CAME = datetime.combine(EXAMINED, datetime.min.time(), UTC)
SOON, MATURE = CAME + timedelta(days=30), CAME + timedelta(days=1000)
MARY = PatientIdentifier("MARY", "HOSPITAL")


def states(ledger: Ledger, study: StudyId, now: datetime = SOON) -> tuple[LabelState | None, LabelState | None]:
    """The labels of the left and of the right breast."""
    found = labels(ledger, LabelRules(MATURITY), now)
    return tuple(found[study, breast].state if (study, breast) in found else None for breast in (LEFT, RIGHT))  # type: ignore[return-value]


def test_labels_follow_the_reports_as_they_come_are_corrected_and_withdrawn(ledger: Ledger) -> None:
    """A cancer of the left breast, which turns out to be of the right one, then benign, then nothing at all."""
    study = exam(ledger)
    assert states(ledger, study) == (LabelState.PENDING, LabelState.PENDING)
    enter_report(ledger, REPORT, SOON)
    assert states(ledger, study) == (LabelState.POSITIVE, LabelState.PENDING)
    corrected = replace(REPORT, status=OutcomeStatus.CORRECTED, laterality=RIGHT)
    enter_report(ledger, corrected, SOON + timedelta(days=1))
    assert states(ledger, study) == (LabelState.PENDING, LabelState.POSITIVE)
    enter_report(ledger, replace(corrected, diagnosis=Diagnosis.BENIGN), SOON + timedelta(days=2))
    assert states(ledger, study) == (LabelState.PENDING, LabelState.CONFIRMED_NEGATIVE)
    enter_report(ledger, replace(REPORT, status=OutcomeStatus.WITHDRAWN), SOON + timedelta(days=3))
    assert states(ledger, study) == (LabelState.PENDING, LabelState.PENDING)


def test_a_report_of_an_unknown_breast_keeps_both_from_being_negative(ledger: Ledger) -> None:
    """Until a person says which: then one is positive, and the other mature and negative."""
    study, other = exam(ledger), exam(ledger, MARY)
    number = enter_report(ledger, replace(REPORT, laterality=None), MATURE)
    assert states(ledger, study, MATURE) == (LabelState.PENDING, LabelState.PENDING)
    assert states(ledger, other, MATURE) == (LabelState.CONFIRMED_NEGATIVE, LabelState.CONFIRMED_NEGATIVE)
    resolve(ledger, number, Decision(laterality=RIGHT), "someone")
    assert states(ledger, study, MATURE) == (LabelState.CONFIRMED_NEGATIVE, LabelState.POSITIVE)


def test_a_doubtful_report_of_a_merged_woman_is_hers(ledger: Ledger) -> None:
    """It names her by a number that was given up, and neither day nor exam: her exam is no negative all the same."""
    study = exam(ledger, MARY)
    says(ledger, PatientMerge(JANE, MARY))
    enter_report(ledger, replace(REPORT, examined_on=None), MATURE)
    assert states(ledger, study, MATURE) == (LabelState.PENDING, LabelState.CONFIRMED_NEGATIVE)


def test_exams_of_a_merged_woman_are_judged_together(ledger: Ledger) -> None:
    """The round before is unknown once it is known to be hers; until then it is another woman's, and negative when mature."""
    before = exam(ledger, MARY, on=EXAMINED - timedelta(days=600))
    study = exam(ledger)
    enter_report(ledger, REPORT, MATURE)
    assert states(ledger, before, MATURE)[0] is LabelState.CONFIRMED_NEGATIVE
    says(ledger, PatientMerge(MARY, JANE))
    match_due(ledger, WITHIN, MATURE)
    assert (states(ledger, before, MATURE)[0], states(ledger, study, MATURE)[0]) == (LabelState.UNKNOWN, LabelState.POSITIVE)


def test_a_hospital_that_never_told_anything_has_no_negatives(ledger: Ledger) -> None:
    """Silence is a negative only where somebody speaks: some report must have come since, of whomever."""
    study = exam(ledger)
    assert states(ledger, study, MATURE) == (LabelState.UNKNOWN, LabelState.UNKNOWN)
    enter_report(ledger, replace(REPORT, patient=MARY), MATURE)
    assert states(ledger, study, MATURE) == (LabelState.CONFIRMED_NEGATIVE, LabelState.CONFIRMED_NEGATIVE)
    assert labels(ledger, LabelRules(MATURITY, follow_up_is_complete=False), MATURE)[study, LEFT].state is LabelState.UNKNOWN


def test_what_was_not_assessed_has_no_label_and_counts_go_by_domain(ledger: Ledger) -> None:
    """Labels are of exams that were scored; the counts say nothing of anybody."""
    assert states(ledger, exam(ledger, assessed=False)) == (None, None)
    exam(ledger, MARY)
    enter_report(ledger, replace(REPORT, patient=MARY), SOON)
    counts = label_counts(ledger, LabelRules(MATURITY), SOON)
    assert counts == {(Domain("maker"), state): int(state in (LabelState.POSITIVE, LabelState.PENDING)) for state in LabelState}


# --- Objections -------------------------------------------------------------------------------------------------------


def test_an_objection_takes_a_woman_out_under_all_her_numbers_until_it_is_revoked(ledger: Ledger) -> None:
    """Also what came under the number that was merged into hers, and what comes later; entered twice it is one. Both are traced."""
    first, other = exam(ledger, MARY), exam(ledger, PatientIdentifier("ANNE", "HOSPITAL"))
    number = object_to(ledger, JANE, "someone", "letter")
    assert object_to(ledger, JANE, "someone", "again") == number
    says(ledger, PatientMerge(MARY, JANE))
    second = exam(ledger)
    assert {study for study, _ in labels(ledger, LabelRules(MATURITY), SOON)} == {other}
    revoke(ledger, number, "someone", "she agrees")
    assert {study for study, _ in labels(ledger, LabelRules(MATURITY), SOON)} == {first, second, other}
    with pytest.raises(NoSuchObjection):
        revoke(ledger, number, "someone", "again")
    assert (list_objections(ledger), len(list_objections(ledger, revoked=True))) == ([], 1)
    assert [entry.action for entry in audit.entries(ledger) if "objection" in entry.action] == ["enter objection", "revoke objection"]


def test_an_objection_leaves_with_the_merge_that_brought_it(ledger: Ledger) -> None:
    """Two women who were merged by mistake are two again: only the one who objected is out."""
    exam(ledger)
    exam(ledger, MARY)
    says(ledger, PatientMerge(MARY, JANE))
    object_to(ledger, JANE, "someone", "letter")
    undo(ledger, list_changes(ledger)[0].change_id, "someone", "two women")
    with ledger.reading() as session:
        assert (JANE in objected(session), MARY in objected(session)) == (True, False)


@pytest.mark.parametrize("named", [PatientIdentifier("7"), PatientIdentifier("7", "NORTH")])
def test_where_it_is_not_certain_whose_a_number_is_an_objection_holds(ledger: Ledger, named: PatientIdentifier) -> None:
    """Another woman's exam with the same number must not bring hers back into a cohort."""
    exam(ledger, PatientIdentifier("7", "NORTH"))
    exam(ledger, PatientIdentifier("7"))
    object_to(ledger, named, "someone", "letter")
    exam(ledger, PatientIdentifier("7", "SOUTH"))
    with ledger.reading() as session:
        assert {PatientIdentifier("7"), PatientIdentifier("7", "NORTH")} <= objected(session)


# --- The audit arm ----------------------------------------------------------------------------------------------------


def women(ledger: Ledger, count: int, **facts: bool) -> list[StudyId]:
    """An exam each of so many women."""
    return [exam(ledger, PatientIdentifier(f"W{number}", "HOSPITAL"), **facts) for number in range(count)]


def test_the_lot_is_drawn_once_for_each_exam_that_was_not_flagged(ledger: Ledger) -> None:
    """With the probability of then, whoever draws again with another one; never for a flagged exam, nor for a woman who objected."""
    flagged = exam(ledger, MARY, positive=True)
    object_to(ledger, JANE, "someone", "letter")
    objecting = exam(ledger)
    drawn_for = women(ledger, 12)
    fell_on = draw(ledger, 0.5, SOON - timedelta(days=1))
    assert 0 < fell_on < 12  # all or none is once in two thousand
    assert draw(ledger, 1.0, SOON - timedelta(days=1)) == 0
    exams = audit_arm_exams(ledger)
    assert {each.study_id for each in exams} <= set(drawn_for)
    assert (len(exams), {each.probability for each in exams}) == (fell_on, {0.5})
    with ledger.reading() as session:
        assert {row.study_id for row in session.query(AuditArmRow)} == set(drawn_for)
        assert not {flagged, objecting} & {row.study_id for row in session.query(AuditArmRow)}
    assert [entry.action for entry in audit.entries(ledger)].count("draw for audit arm") == fell_on


def test_nobody_is_drawn_for_who_was_examined_long_ago(ledger: Ledger) -> None:
    """Switching the arm on calls back no one from earlier years."""
    exam(ledger)
    assert draw(ledger, 1.0, CAME + DRAWN_WITHIN) == 0
    assert draw(ledger, 1.0, CAME + DRAWN_WITHIN - timedelta(seconds=1)) == 1


def test_the_lot_is_the_same_whoever_draws(ledger: Ledger) -> None:
    """It hangs on the study and on a secret of the ledger: drawing anew, after the rows are gone, draws the same exams."""
    women(ledger, 12)
    draw(ledger, 0.5, SOON - timedelta(days=1))
    first = [each.study_id for each in audit_arm_exams(ledger)]
    with ledger.transaction() as session:
        session.query(AuditArmRow).delete()
    draw(ledger, 0.5, SOON - timedelta(days=1))
    assert [each.study_id for each in audit_arm_exams(ledger)] == first


def test_the_arm_s_outcomes_have_its_weight_and_provenance(ledger: Ledger) -> None:
    """One in ten was drawn, so each stands for ten; a flagged woman for herself; a finding that nobody looked for stands for nobody yet."""
    arm, flagged = exam(ledger), exam(ledger, MARY, positive=True)
    draw(ledger, 1.0, SOON - timedelta(days=1))
    with ledger.transaction() as session:
        session.query(AuditArmRow).one().probability = 0.1
    by_chance = exam(ledger, PatientIdentifier("ANNE"))
    for place, patient in enumerate((JANE, MARY, PatientIdentifier("ANNE"))):
        enter_report(ledger, replace(REPORT, patient=patient, identifier=f"R{place}"), SOON)
    found = labels(ledger, LabelRules(MATURITY), SOON)
    expected = {
        arm: (10.0, Provenance.RANDOM_AUDIT),
        flagged: (1.0, Provenance.SCREEN_DETECTED),
        by_chance: (0.0, Provenance.SCREEN_DETECTED),
    }
    assert {study: (found[study, LEFT].weight, found[study, LEFT].provenance) for study in expected} == expected


def test_a_woman_who_objects_after_the_draw_is_called_by_nobody(ledger: Ledger) -> None:
    """She is not on the list any more."""
    exam(ledger)
    draw(ledger, 1.0, SOON - timedelta(days=1))
    object_to(ledger, JANE, "someone", "letter")
    assert audit_arm_exams(ledger) == []
