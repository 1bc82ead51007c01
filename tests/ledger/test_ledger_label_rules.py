"""The label of a breast follows from her exams and reports alone: no database is needed to ask it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosremc_node.ledger.label_rules import Calendar, Doubt, Exam, Label, Report, Woman, label_of
from dosremc_node.records import LARGEST_WEIGHT, Diagnosis, LabelRules, LabelState, Laterality, Provenance, StudyId

FIRST = date(2020, 1, 1)
KNOWN = datetime(2022, 6, 1, tzinfo=UTC)
LEFT, RIGHT = Laterality.LEFT, Laterality.RIGHT
MALIGNANT, BENIGN, NORMAL = Diagnosis.MALIGNANT, Diagnosis.BENIGN, Diagnosis.NORMAL
MATURITY = timedelta(days=730)
RULES = LabelRules(MATURITY, timedelta(days=183), next_round=timedelta(days=300))
LONG_AFTER = datetime(2030, 1, 1, tzinfo=UTC)


def exam(day: int = 0, name: str = "S-1", **facts: object) -> Exam:
    return replace(Exam(StudyId(name), FIRST + timedelta(days=day)), **facts)


def report(day: int, diagnosis: Diagnosis, breast: Laterality = LEFT, of: str = "S-1", provenance: Provenance | None = None) -> Report:
    return Report(StudyId(of), breast, diagnosis, FIRST + timedelta(days=day), provenance, KNOWN)


def calendar(now: datetime = LONG_AFTER, *, heard_until: datetime | None = LONG_AFTER, rules: LabelRules = RULES) -> Calendar:
    return Calendar(now, rules, heard_until)


def at(day: int) -> Calendar:
    return calendar(datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=day))


def label(*reports: Report, of: Exam | None = None, when: Calendar | None = None, breast: Laterality = LEFT, **more: object) -> Label:
    looked_at = of or exam()
    woman = replace(Woman([looked_at], reports), **more)
    return label_of(looked_at, breast, woman, when or calendar())


@pytest.mark.parametrize(
    ("day", "state", "provenance"),
    [
        (0, LabelState.POSITIVE, Provenance.SCREEN_DETECTED),
        (183, LabelState.POSITIVE, Provenance.SCREEN_DETECTED),
        (184, LabelState.POSITIVE, Provenance.INTERVAL),
        (730, LabelState.POSITIVE, Provenance.INTERVAL),
        (731, LabelState.CONFIRMED_NEGATIVE, Provenance.FOLLOW_UP),
    ],
)
def test_a_cancer_makes_the_exam_before_it_positive_for_as_long_as_maturity(day: int, state: LabelState, provenance: Provenance) -> None:
    """Within the work-up time it was detected by the exam, after that it is an interval cancer, and beyond maturity the exam was negative."""
    found = label(report(day, MALIGNANT))
    assert (found.state, found.provenance) == (state, provenance)


def test_a_cancer_of_one_breast_says_nothing_of_the_other() -> None:
    """The other breast stays pending, and is judged by its own calendar."""
    cancer = report(10, MALIGNANT, LEFT)
    assert label(cancer, breast=RIGHT, when=at(20)).state is LabelState.PENDING
    assert label(cancer, breast=RIGHT).state is LabelState.CONFIRMED_NEGATIVE


def test_an_exam_is_pending_until_it_is_mature() -> None:
    """Nothing was told of it, and that is no negative: not a day before maturity."""
    assert label(when=at(729)).state is LabelState.PENDING
    assert label(when=at(730)).state is LabelState.CONFIRMED_NEGATIVE
    assert label(when=at(730)).since == datetime(2020, 1, 1, tzinfo=UTC) + MATURITY


def test_silence_means_nothing_where_nobody_would_have_told() -> None:
    """Without complete follow-up, after the hospital has stopped telling, or without a patient's name, a mature exam is unknown."""
    assert label(when=calendar(heard_until=None)).state is LabelState.UNKNOWN
    assert label(when=calendar(rules=replace(RULES, follow_up_is_complete=False))).state is LabelState.UNKNOWN
    assert label(when=calendar(heard_until=datetime(2021, 12, 30, tzinfo=UTC))).state is LabelState.UNKNOWN
    assert label(of=exam(names_patient=False)).state is LabelState.UNKNOWN


def test_of_several_exams_the_last_one_before_the_cancer_is_positive() -> None:
    """One in an earlier round is unknown, one that was over by then negative; recall and work-up are of one cancer with the exam."""
    earlier, round_before, screening, work_up = exam(-800, "S-0"), exam(-400, "S-1"), exam(0, "S-2"), exam(14, "S-3")
    cancer = report(21, MALIGNANT, of="S-3")
    woman = Woman([earlier, round_before, screening, work_up], [cancer])
    states = [label_of(each, LEFT, woman, calendar()).state for each in woman.exams]
    assert states == [LabelState.CONFIRMED_NEGATIVE, LabelState.UNKNOWN, LabelState.POSITIVE, LabelState.POSITIVE]


def test_a_mammogram_of_the_symptom_is_no_next_round() -> None:
    """A lump ten months after screening: the mammogram that shows it does not take the interval cancer from the exam that had missed it."""
    screening, of_the_lump = exam(0, "S-1"), exam(299, "S-2")
    woman = Woman([screening, of_the_lump], [report(305, MALIGNANT, of="S-2")])
    found = [label_of(each, LEFT, woman, calendar()) for each in woman.exams]
    assert [each.state for each in found] == [LabelState.POSITIVE] * 2
    assert found[0].provenance is Provenance.INTERVAL
    assert label_of(screening, LEFT, replace(woman, exams=[screening, exam(300, "S-2")]), calendar()).state is LabelState.UNKNOWN


def test_the_exam_that_a_report_names_is_positive_though_there_was_a_later_one() -> None:
    """An accession number says more than the calendar: the later exam was of the other breast, perhaps."""
    named, later = exam(0, "S-1"), exam(300, "S-2")
    woman = Woman([named, later], [report(400, MALIGNANT, of="S-1")])
    assert label_of(named, LEFT, woman, calendar()).state is LabelState.POSITIVE


def test_a_breast_under_treatment_is_unknown() -> None:
    """An exam between the biopsy and half a year later shows a treated breast; after that its own calendar counts."""
    cancer = report(0, MALIGNANT, of="S-0")
    assert label(cancer, of=exam(30)).state is LabelState.UNKNOWN
    assert label(cancer, of=exam(400)).state is LabelState.CONFIRMED_NEGATIVE


def test_a_benign_biopsy_is_a_negative_until_a_cancer_is_found() -> None:
    """It holds at once, before maturity; a cancer within maturity wins, whichever was reported first."""
    benign, cancer = report(20, BENIGN), report(300, MALIGNANT)
    found = label(benign, when=at(30))
    assert (found.state, found.provenance) == (LabelState.CONFIRMED_NEGATIVE, Provenance.BIOPSY_BENIGN)
    assert label(benign, cancer).state is label(cancer, benign).state is LabelState.POSITIVE


def test_a_later_examination_without_a_finding_is_a_follow_up() -> None:
    """A benign biopsy long after the work-up too: the breast had no cancer then."""
    assert label(report(360, NORMAL), when=at(370)).provenance is Provenance.FOLLOW_UP
    assert label(report(360, BENIGN), when=at(370)).provenance is Provenance.FOLLOW_UP


def test_what_the_report_says_of_its_provenance_comes_first_for_its_own_exam() -> None:
    """A registry knows an interval cancer as one, however early it came."""
    assert label(report(60, MALIGNANT, provenance=Provenance.INTERVAL)).provenance is Provenance.INTERVAL
    assert label(report(60, MALIGNANT, of="S-9", provenance=Provenance.INTERVAL)).provenance is Provenance.SCREEN_DETECTED


@pytest.mark.parametrize(
    ("doubt", "held_up"),
    [
        (Doubt(None, None, KNOWN), True),
        (Doubt(LEFT, FIRST + timedelta(days=100), KNOWN), True),
        (Doubt(RIGHT, FIRST + timedelta(days=100), KNOWN), False),
        (Doubt(LEFT, FIRST + timedelta(days=731), KNOWN), False),
        (Doubt(None, FIRST - timedelta(days=1), KNOWN), False),
    ],
)
def test_what_may_be_a_cancer_holds_up_a_negative(doubt: Doubt, held_up: bool) -> None:
    """A report whose breast nobody knows makes neither breast negative, by silence or by biopsy, and a cancer is one all the same."""
    expected = LabelState.PENDING if held_up else LabelState.CONFIRMED_NEGATIVE
    assert label(doubts=[doubt]).state is expected
    assert label(report(10, BENIGN), doubts=[doubt]).state is expected
    assert label(report(10, MALIGNANT), doubts=[doubt]).state is LabelState.POSITIVE


def test_before_maturity_weight_is_one_over_the_probability_of_having_been_looked_at() -> None:
    """Flagged exams were looked at for certain, the audit arm by lot, clipped; what came out otherwise stands for nobody yet."""
    finding, early = report(20, NORMAL), at(30)
    assert label(finding, of=exam(flagged=True), when=early).weight == 1.0
    assert label(finding, of=exam(drawn=0.1), when=early).weight == 10.0
    assert label(finding, of=exam(drawn=0.1, flagged=True), when=early).weight == 1.0
    assert label(finding, of=exam(drawn=0.01), when=early).weight == LARGEST_WEIGHT
    assert label(finding, when=early).weight == 0.0
    assert label(finding, of=exam(drawn=0.1)).weight == label(finding).weight == 1.0


def test_the_audit_arm_is_where_the_lot_fell_and_nothing_was_flagged() -> None:
    """Its findings within the work-up time are by random audit; an interval cancer is one also there."""
    arm = exam(drawn=0.1)
    assert label(report(20, MALIGNANT), of=arm).provenance is Provenance.RANDOM_AUDIT
    assert label(report(20, NORMAL), of=arm).provenance is Provenance.RANDOM_AUDIT
    assert label(report(300, MALIGNANT), of=arm).provenance is Provenance.INTERVAL
    assert label(report(20, MALIGNANT), of=replace(arm, flagged=True)).provenance is Provenance.SCREEN_DETECTED


_days = st.integers(-900, 900)
_reports = st.lists(
    st.builds(report, _days, st.sampled_from(list(Diagnosis)), st.sampled_from(list(Laterality)), st.sampled_from(["S-0", "S-1", "S-2"])),
    max_size=5,
)
_women = st.builds(
    lambda days, reports: Woman([exam(day, f"S-{place}") for place, day in enumerate(days)], reports),
    st.lists(_days, min_size=1, max_size=4),
    _reports,
)


@given(_women, st.integers(-900, 2000))
def test_pending_is_never_a_negative_and_a_cancer_never_a_negative_within_maturity(woman: Woman, today: int) -> None:
    """Whatever was reported: no exam with a cancer within maturity is negative, and no immature one without a report of that breast."""
    for each in woman.exams:
        for breast in Laterality:
            state = label_of(each, breast, woman, at(today)).state
            after = [one for one in woman.reports if one.laterality is breast and 0 <= (one.on - each.taken_on).days <= MATURITY.days]
            if any(one.diagnosis is MALIGNANT for one in after):
                assert state in (LabelState.POSITIVE, LabelState.UNKNOWN)
            elif not after and each.taken_on + MATURITY > FIRST + timedelta(days=today):
                assert state in (LabelState.PENDING, LabelState.UNKNOWN)
            else:
                assert state is not LabelState.POSITIVE


@given(_women, _reports)
def test_reports_of_the_other_breast_change_nothing(woman: Woman, others: list[Report]) -> None:
    """Each breast has its own truth."""
    with_others = replace(woman, reports=[*woman.reports, *(replace(each, laterality=RIGHT) for each in others)])
    for each in woman.exams:
        assert label_of(each, LEFT, woman, calendar()) == label_of(each, LEFT, with_others, calendar())


@given(st.permutations([report(5, BENIGN), report(40, NORMAL), report(200, MALIGNANT), report(201, BENIGN)]))
def test_the_order_in_which_reports_come_does_not_matter(reports: list[Report]) -> None:
    """They are judged by their dates."""
    assert label(*reports) == label(*sorted(reports, key=lambda each: each.on))
