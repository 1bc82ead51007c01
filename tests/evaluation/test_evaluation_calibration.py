"""Calibration and operating points, against statsmodels, scikit-learn and the maps that made the labels."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss
from statsmodels.stats.proportion import proportion_confint

from dosremc_node.evaluation import (
    Estimate,
    Labels,
    Values,
    at_threshold,
    brier,
    calibrated,
    calibration_intercept,
    calibration_slope,
    expected_over_observed,
    per_breast,
    performance,
    platt,
    reliability,
    sigmoid,
    threshold_at_specificity,
)
from dosremc_node.evaluation.operating import share
from dosremc_node.records import OperatingPoint


def drawn(count: int, slope: float, intercept: float, seed: int = 1) -> tuple[Values, Labels]:
    """Logits, and labels drawn with the probability sigmoid(slope * logit + intercept)."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 1.5, count)
    return logits, random.random(count) < sigmoid(slope * logits + intercept)


def test_platt_finds_the_map_that_made_the_labels() -> None:
    """Labels drawn from sigmoid(2 z - 1) give back slope and intercept."""
    assert platt(*drawn(40_000, 2, -1)) == pytest.approx((2, -1), abs=0.1)


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_platt_has_an_answer_for_scores_without_fault(scale: float) -> None:
    """Perfectly parted scores of any size give a finite rising map."""
    slope, intercept = platt(scale * np.array([-3.0, -2, -1, 1, 2]), np.array([False, False, False, True, True]))
    assert 0 < slope < np.inf
    assert np.isfinite(intercept)


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.4, -1), (2, 1)])
def test_intercept_and_slope_are_those_of_statsmodels(slope: float, intercept: float) -> None:
    """Values and Wald intervals are those of statsmodels' generalised linear model."""
    logits, labels = drawn(500, slope, intercept)
    family = sm.families.Binomial()
    in_the_large = sm.GLM(labels.astype(float), np.ones((500, 1)), family=family, offset=logits).fit()
    full = sm.GLM(labels.astype(float), np.stack([logits, np.ones(500)], axis=1), family=family).fit()
    for ours, theirs in ((calibration_intercept(logits, labels), in_the_large), (calibration_slope(logits, labels), full)):
        assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.params[0], *theirs.conf_int()[0]), abs=1e-5)


def test_what_is_calibrated_is_found_calibrated() -> None:
    """Where labels follow the probabilities, nineteen of twenty intervals hold 0, 1 and 1."""
    held = []
    for seed in range(200):
        logits, labels = drawn(400, 1, 0, seed)
        estimates = (
            calibration_intercept(logits, labels),
            calibration_slope(logits, labels),
            expected_over_observed(sigmoid(logits), labels),
        )
        held.append([each.low <= right <= each.high for each, right in zip(estimates, (0, 1, 1), strict=True)])
    assert (np.mean(held, axis=0) > 0.9).all()


def test_a_slope_that_does_not_exist_is_no_number() -> None:
    """Scores without fault have no finite slope."""
    assert np.isnan(calibration_slope(np.array([-2.0, -1, 1]), np.array([False, False, True])).value)


def test_brier_is_that_of_scikit_learn() -> None:
    """The mean squared distance between probability and label."""
    logits, labels = drawn(300, 1, 0)
    assert brier(sigmoid(logits), labels) == pytest.approx(brier_score_loss(labels, sigmoid(logits)))


def test_sigmoid_holds_at_both_ends() -> None:
    """No overflow for logits of any size."""
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_reliability_bins_hold_every_case_once() -> None:
    """Bins rise, are as full as each other, and their malignant cases add up."""
    logits, labels = drawn(203, 1, 0)
    bins = reliability(sigmoid(logits), labels)
    assert {each.cases for each in bins} == {20, 21}
    assert [each.expected for each in bins] == sorted(each.expected for each in bins)
    assert sum(each.observed.value * each.cases for each in bins) == pytest.approx(labels.sum())
    assert len(reliability(sigmoid(logits[:3]), labels[:3])) == 3


@given(st.integers(0, 60), st.integers(1, 60))
def test_a_share_has_wilsons_interval(count: int, more: int) -> None:
    """The interval is statsmodels'."""
    low, high = proportion_confint(count, count + more, method="wilson")
    found = share(count, count + more)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


SCORED = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30).filter(
    lambda cases: len({label for _, label in cases}) == 2
)


@given(SCORED, st.floats(0.5, 0.99))
def test_the_threshold_keeps_its_specificity(cases: list[tuple[int, bool]], specificity: float) -> None:
    """At least the asked share of the others lies below the threshold, and any lower threshold at one of their scores would lose it."""
    scores, labels = np.array([score for score, _ in cases], np.float64), np.array([label for _, label in cases])
    threshold = threshold_at_specificity(scores, labels, specificity)
    assert at_threshold(scores, labels, threshold).specificity.value >= specificity
    lower = scores[~labels & (scores < threshold)].max()
    assert at_threshold(scores, labels, lower).specificity.value < specificity


def test_a_threshold_flags_what_reaches_it() -> None:
    """A score at the threshold counts as flagged."""
    found = at_threshold(np.array([0.2, 0.5, 0.5, 0.9]), np.array([False, False, True, True]), 0.5)
    assert (found.sensitivity.value, found.specificity.value) == (1.0, 0.5)


def test_a_breast_is_the_mean_of_its_images() -> None:
    """However many views a breast has and wherever they stand."""
    assert per_breast(np.array([0.0, 1.0, 4.0, 2.0, 3.0]), np.array([0, 1, 2, 0, 2])).tolist() == [1.0, 1.0, 3.5]


def test_a_performance_says_everything() -> None:
    """Its figures are those of its parts, and the truth of a simulated calibration lies in its intervals."""
    logits, labels = drawn(1500, 0.5, -0.4, seed=3)
    found = performance(logits, labels, threshold=0.3)
    assert found.cases == 1500
    assert found.malignant == labels.sum()
    assert found.calibration_slope.low < 0.5 < found.calibration_slope.high
    assert found.expected_over_observed.value == pytest.approx(sigmoid(logits).sum() / labels.sum())
    assert found.at_threshold == at_threshold(sigmoid(logits), labels, 0.3)
    for estimate in (found.roc_auc, found.roc_auc_bootstrap, found.roc_auc_hanley_mcneil, found.pr_auc):
        assert estimate.low < estimate.value < estimate.high


def test_an_estimate_reads_as_a_sentence_would_have_it() -> None:
    """Value and limits, three digits."""
    assert str(Estimate(0.91234, 0.9, 1.2).clipped()) == "0.912 (0.900 to 1.000)"


def test_many_images_get_the_probabilities_that_service_gives() -> None:
    """An evaluation and the node calibrate alike, where scores are aligned too."""
    logits = np.linspace(-6, 6, 41)
    for alignment in ((), ((-2.0, -3.0), (0.0, -0.5), (1.0, 2.0))):
        point = OperatingPoint(0.5, 1.3, -0.2, alignment=alignment)
        assert calibrated(logits, point).tolist() == pytest.approx([point.probability(logit) for logit in logits], abs=1e-12)
