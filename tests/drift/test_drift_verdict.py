"""What moved: told from synthetic women, whose scores hang on their age and on how they are imaged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from dosremc_node.drift import ExamScores, Period, Traces, VerdictKind, traces_differ, verdict, weighted_ks_distance
from dosremc_node.drift.mix import mixes_differ, weights_for_ages_of
from dosremc_node.drift.verdict import MOVED

LAYERS = ("conv1", "conv2", "conv3")


def women(seed: int, exams: int = 500, *, age: float = 58.0, shift: float = 0.0, gain: float = 0.0, images: int = 40) -> Period:
    """Women whose logit falls with age; ``shift`` moves the scores, ``gain`` what goes into the network."""
    random = np.random.default_rng(seed)
    ages = np.round(np.clip(random.normal(age, 6, exams), 40, 90))
    logits = random.standard_normal(exams) - 0.1 * (ages - 58) + shift
    traces = random.standard_normal((images, len(LAYERS), 2)) * 0.2 + gain
    return Period(
        ExamScores(logits, (logits > 1.2).astype(np.float64)), ages, {"CC": 2 * exams, "MLO": 2 * exams}, traces=Traces(LAYERS, traces)
    )


def without_ages(there: Period) -> Period:
    return Period(there.scores, np.full(len(there), np.nan), there.views, there.left_out, there.traces)


def one_view(there: Period) -> Period:
    return Period(there.scores, there.ages, {"CC": 4 * len(there)}, there.left_out, there.traces)


def test_new_processing_is_told_from_other_women() -> None:
    """Scores that moved with what goes into the network are the imaging's, those that moved with the ages the women's; never the other."""
    imaging = [verdict(women(seed, 1000), women(seed + 1000, shift=0.8, gain=0.4)).kind for seed in range(60)]
    others = [verdict(women(seed, 1000), women(seed + 1000, age=64)).kind for seed in range(60)]
    assert set(imaging) <= {VerdictKind.ACQUISITION, VerdictKind.AMBIGUOUS}
    assert set(others) <= {VerdictKind.CASE_MIX, VerdictKind.AMBIGUOUS}
    assert imaging.count(VerdictKind.ACQUISITION) >= 54
    assert others.count(VerdictKind.CASE_MIX) >= 54


def test_a_scanner_that_is_well_is_left_alone() -> None:
    """In two hundred looks at women like the reference's it is never aligned, and seldom anything but well."""
    found = [verdict(women(seed, 1000), women(seed + 1000)).kind for seed in range(200)]
    assert VerdictKind.ACQUISITION not in found
    assert found.count(VerdictKind.WELL) >= 190


@pytest.mark.parametrize(
    ("recent", "why"),
    [
        (lambda: women(1, shift=0.8), "more cancers"),
        (lambda: women(1, age=64, shift=0.8, gain=0.4), "ages or views"),
        (lambda: women(1, age=64, shift=0.8), "ages or views"),
        (lambda: one_view(women(1, shift=0.8, gain=0.4)), "ages or views"),
        (lambda: without_ages(women(1, shift=0.8, gain=0.4)), "too few ages"),
        (lambda: women(1, shift=0.8, gain=0.4, images=5), "too few images"),
        (lambda: women(1, gain=0.4), "have not yet"),
    ],
)
def test_what_stays_ambiguous_is_an_alert(recent: Callable[[], Period], why: str) -> None:
    """Nothing else moved, both did, or it cannot be told."""
    found = verdict(women(0, 1000), recent())
    assert found.kind is VerdictKind.AMBIGUOUS
    assert why in found.why


def test_another_scanner_is_aligned_only_to_the_same_women() -> None:
    """That the imaging differs is known; the women must be those of the reference."""
    assert verdict(women(0, 1000), women(1, shift=0.8), same_key=False).kind is VerdictKind.ACQUISITION
    assert verdict(women(0, 1000), women(1, shift=0.8, age=66), same_key=False).kind is VerdictKind.AMBIGUOUS
    assert verdict(women(0, 1000), women(1), same_key=False).kind is VerdictKind.WELL


def test_ages_hide_nothing() -> None:
    """Older women, whose scores would be lower, with the scores of the reference are not well scored."""
    hidden = women(1, age=64, shift=0.6)
    found = verdict(women(0, 1000), hidden)
    assert found.numbers["ks_p"] > MOVED
    assert found.kind is VerdictKind.AMBIGUOUS


def test_a_chart_that_alarmed_counts_as_moved() -> None:
    """The recent exams alone need not show what all of them together do."""
    recent = women(4, 200, gain=0.4)
    assert verdict(women(0, 1000), recent).kind is VerdictKind.AMBIGUOUS
    assert verdict(women(0, 1000), recent, alarmed=True).kind is VerdictKind.ACQUISITION


def test_a_handful_of_exams_says_nothing() -> None:
    """A verdict on fewer than a hundred would be a guess."""
    assert verdict(women(0, 1000), women(1, 99, shift=3)).kind is VerdictKind.TOO_FEW


# --- What it is told from ---------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(400, 2000), min_size=2, max_size=5), st.integers(0, 2**31))
def test_mixes_are_compared_as_by_the_chi_squared_test(counts: list[int], seed: int) -> None:
    """Where no kind is rare the random divisions agree with the textbook."""
    random = np.random.default_rng(seed)
    other = [int(count * random.uniform(0.9, 1.1)) for count in counts]
    one = {str(place): count for place, count in enumerate(counts)}
    two = {str(place): count for place, count in enumerate(other)}
    assert mixes_differ(one, two) == pytest.approx(chi2_contingency([counts, other], correction=False).pvalue, abs=0.05)


def test_traces_of_one_scanner_differ_as_often_as_chance_has_it() -> None:
    """The p value is uniform where nothing changed, though layers hang together; it is small where one layer changed."""
    random = np.random.default_rng(3)

    def images(count: int) -> np.ndarray:
        common = random.standard_normal((count, 1, 2))
        return common + 0.3 * random.standard_normal((count, len(LAYERS), 2))

    found = [traces_differ(Traces(LAYERS, images(60)), Traces(LAYERS, images(30))) for _ in range(200)]
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.04)
    changed = images(30)
    changed[:, 0, 1] += 1.5
    assert traces_differ(Traces(LAYERS, images(60)), Traces(LAYERS, changed)) < 0.01


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_a_weight_is_as_good_as_repeating_a_value(seed: int, times: int) -> None:
    """The weighted gap is that of a stream in which each value stands as often as it weighs."""
    random = np.random.default_rng(seed)
    reference, live, weights = random.standard_normal(50), random.standard_normal(40), random.integers(1, 4, 40)
    gap, _ = weighted_ks_distance(reference, live, times * weights.astype(np.float64))
    assert gap == pytest.approx(weighted_ks_distance(reference, np.repeat(live, weights), np.ones(weights.sum()))[0])


def test_weights_make_the_ages_those_of_the_reference() -> None:
    """Band by band, the share of the weights is the reference's share of women."""
    random = np.random.default_rng(5)
    reference, live = random.uniform(40, 80, 3000), random.uniform(48, 74, 800)
    weights = weights_for_ages_of(reference, live)
    in_band = np.digitize(live, (50, 55)) == 1
    assert weights[in_band].sum() / len(live) == pytest.approx(np.mean(np.digitize(reference, (50, 55)) == 1))
