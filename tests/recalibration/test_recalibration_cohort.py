"""Live exams as cohorts: which label may be believed, who may fit, who may judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from dosremc_node.errors import TooFewEvents, TooFewExams
from dosremc_node.ledger.exams import AssessedExam, ScoredView
from dosremc_node.ledger.labels import Label
from dosremc_node.recalibration.cohort import Cohort, cohort_of, split, split_by_events
from dosremc_node.records import Domain, LabelState, Laterality, StudyId, View

SINCE = datetime(2026, 6, 1, tzinfo=UTC)


def exam(number: int, *, day: int | None = None) -> AssessedExam:
    """Two views of each breast, whose logits tell which image they are."""
    places = [(side, view) for side in Laterality for view in (View.CC, View.MLO)]
    views = tuple(
        ScoredView(f"{4 * number + place:064x}", *each, 4.0 * number + place, positive=False) for place, each in enumerate(places)
    )
    taken_on = date(2026, 1, 1) + timedelta(days=number if day is None else day)
    return AssessedExam(StudyId(f"S-{number}"), "key", Domain("d"), "r", "b", taken_on, 60, in_shadow=False, positive=False, images=views)


def cohort(women: list[int], positive: Mapping[int, LabelState] = {}, weight: float = 1.0) -> Cohort:
    """An exam each day of these women; of those of ``positive`` the left breast has that label, the right one was healthy."""
    labels = {
        (StudyId(f"S-{number}"), side): Label(state if side is Laterality.LEFT else LabelState.CONFIRMED_NEGATIVE, None, SINCE, weight)
        for number, state in positive.items()
        for side in Laterality
    }
    return cohort_of([exam(number) for number in range(len(women))], labels, {StudyId(f"S-{n}"): woman for n, woman in enumerate(women)})


@pytest.mark.parametrize("state", list(LabelState))
def test_a_label_belongs_to_its_breast_and_pending_is_none(state: LabelState) -> None:
    """Only a positive or a confirmed negative one is known; the other breast keeps its own."""
    made = cohort([0, 1], {1: state})
    believed = state in {LabelState.POSITIVE, LabelState.CONFIRMED_NEGATIVE}
    assert made.scores.known.tolist() == [False] * 4 + [believed] * 2 + [True] * 2
    assert made.scores.malignant.tolist() == [False] * 4 + [state is LabelState.POSITIVE] * 2 + [False] * 2
    assert made.labelled().exams == made.exams[1:]


def test_a_label_that_stands_for_nobody_yet_is_none() -> None:
    """A cancer that is known before its exam has matured would make all of the year's labels malignant."""
    assert not cohort([0], {0: LabelState.POSITIVE}, weight=0.0).scores.known.any()


@given(women=some.lists(some.integers(0, 6), min_size=2, max_size=20), data=some.data())
def test_no_woman_fits_and_judges_and_what_judges_is_later_and_whole(women: list[int], data: some.DataObject) -> None:
    """Whoever comes again, the judging part is all exams from the cut on, and the fitted part none of its women."""
    place = data.draw(some.integers(1, len(women) - 1))
    made = cohort(women)
    try:
        fitted, judged = split(made, place)
    except TooFewExams:
        assert set(women[:place]) <= set(women[place:])
        return
    assert judged.exams == made.exams[place:]
    assert not set(fitted.women) & set(judged.women)
    assert set(fitted.exams) == {each for each, woman in zip(made.exams[:place], women, strict=False) if woman not in women[place:]}
    for part in (fitted, judged):  # scores stay with their exams
        assert part.scores.logits.tolist() == [image.logit for each in part.exams for image in each.images]
        assert part.images == tuple((image.sha256, image.laterality) for each in part.exams for image in each.images)


def test_the_later_half_of_the_events_judges_first_and_nothing_judges_twice() -> None:
    """Twelve events: six and six; once exams up to a day have judged, those are fitted and only later ones judge."""
    made = cohort(list(range(24)), dict.fromkeys(range(0, 24, 2), LabelState.POSITIVE))
    fitted, judged = split_by_events(made, 4, 4, None)
    assert (fitted.scores.events, judged.scores.events) == (6, 6)
    fitted, judged = split_by_events(made, 4, 4, made.exams[15].taken_on)
    assert (len(fitted), len(judged)) == (16, 8)
    with pytest.raises(TooFewEvents, match="There are 3"):
        split_by_events(made, 4, 4, made.exams[17].taken_on)


def test_enough_are_left_to_fit_or_it_is_said_what_is_missing() -> None:
    """Seven events, five to fit: two judge; asked for three to judge there are too few."""
    made = cohort(list(range(14)), dict.fromkeys(range(0, 14, 2), LabelState.POSITIVE))
    assert [part.scores.events for part in split_by_events(made, 5, 2, None)] == [5, 2]
    with pytest.raises(TooFewEvents):
        split_by_events(made, 5, 3, None)


def test_another_bank_scores_the_same_exams() -> None:
    """Exams, women and labels stay; only the logits are others."""
    made = cohort([0, 1], {1: LabelState.POSITIVE})
    again = made.with_logits(np.arange(8.0) * 2)
    assert again.exams == made.exams
    assert again.scores.logits.tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert replace(again.scores, logits=made.scores.logits).events == made.scores.events == 1
