"""Ranking: areas against scikit-learn and published figures, DeLong against his own definition and the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from dosremc_node.errors import NotMeasurable
from dosremc_node.evaluation import (
    Labels,
    Values,
    compare_roc_auc,
    hanley_mcneil,
    pr_auc,
    roc_auc,
    roc_auc_delong,
    stratified_interval,
    weighted_pr_auc,
    weighted_roc_auc,
    weighted_sensitivity,
)
from dosremc_node.evaluation.ranking import delong

Scored = list[tuple[int, bool]]
SCORED = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30).filter(
    lambda cases: len({label for _, label in cases}) == 2
)


def arrays(cases: Scored) -> tuple[Values, Labels]:
    return np.array([score for score, _ in cases], np.float64), np.array([label for _, label in cases])


def rated(normal: list[int], abnormal: list[int]) -> tuple[Values, Labels]:
    """Cases from how many of each kind got each rating."""
    scores = np.concatenate([np.repeat(np.arange(1.0, len(counts) + 1), counts) for counts in (normal, abnormal)])
    return scores, np.arange(len(scores)) >= sum(normal)


HANLEY = rated([33, 6, 6, 11, 2], [3, 2, 2, 11, 33])
"""The computed tomography ratings of Hanley & McNeil (Radiology 1982, table I)."""


@given(SCORED)
def test_areas_are_those_of_scikit_learn(cases: Scored) -> None:
    """With ties and without, ROC area and average precision are what scikit-learn finds."""
    scores, labels = arrays(cases)
    assert roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    assert pr_auc(scores, labels) == pytest.approx(average_precision_score(labels, scores))


@given(SCORED, st.data())
def test_a_weight_counts_a_case_so_often(cases: Scored, data: st.DataObject) -> None:
    """A figure with weights is the figure of cases that are written down as often as their weights say."""
    scores, labels = arrays(cases)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(cases), max_size=len(cases))))
    times[[np.argmax(labels), np.argmax(~labels)]] += 1
    repeated, weights = (np.repeat(scores, times), np.repeat(labels, times)), np.stack([times, np.ones_like(times)]).astype(np.float64)
    assert weighted_roc_auc(scores, labels, weights)[0] == pytest.approx(roc_auc(*repeated))
    assert weighted_pr_auc(scores, labels, weights)[0] == pytest.approx(pr_auc(*repeated))


@given(SCORED, st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_the_curve_is_that_of_scikit_learn(cases: Scored, specificity: float) -> None:
    """At a specificity the height of the ROC curve is the best of scikit-learn's corners that keep it."""
    scores, labels = arrays(cases)
    flagged, found, _ = roc_curve(labels, scores, drop_intermediate=False)
    best = found[flagged <= 1 - specificity + 1e-9].max()
    assert weighted_sensitivity(scores, labels, np.ones((1, len(scores))), specificity)[0] == pytest.approx(best)


@given(SCORED)
def test_only_the_order_counts(cases: Scored) -> None:
    """A monotone map of the scores changes no area; turning them round turns the area round."""
    scores, labels = arrays(cases)
    assert roc_auc(np.exp(scores / 3) - 7, labels) == roc_auc(scores, labels)
    assert pr_auc(scores**3, labels) == pr_auc(scores, labels)
    assert roc_auc(-scores, labels) == pytest.approx(1 - roc_auc(scores, labels))


def test_a_published_example() -> None:
    """Hanley and McNeil printed .893 with a standard error of .032 for their ratings; DeLong's interval is Stata's .83295 to .95339."""
    scores, labels = HANLEY
    assert roc_auc(scores, labels) == pytest.approx(0.893, abs=5e-4)
    printed = hanley_mcneil(roc_auc(scores, labels), 51, 58)
    assert (printed.high - printed.low) / 2 / 1.96 == pytest.approx(0.032, abs=5e-4)
    estimate = roc_auc_delong(scores, labels)
    assert (estimate.low, estimate.high) == pytest.approx((0.83295, 0.95339), abs=5e-6)


@given(st.integers(0, 10_000))
def test_delong_by_its_definition(seed: int) -> None:
    """Areas and covariance are those of the kernel over all pairs, counted one by one (DeLong 1988, equations 4 to 6)."""
    random = np.random.default_rng(seed)
    labels = np.arange(23) < random.integers(2, 21)
    models = [random.integers(0, 6, 23) + labels.astype(np.float64) for _ in range(3)]
    kernels = np.stack([np.heaviside(scores[labels][:, None] - scores[~labels][None], 0.5) for scores in models])
    areas, covariance = delong(models, labels)
    np.testing.assert_allclose(areas, kernels.mean(axis=(1, 2)))
    expected = np.cov(kernels.mean(axis=2)) / labels.sum() + np.cov(kernels.mean(axis=1)) / (~labels).sum()
    np.testing.assert_allclose(covariance, expected, atol=1e-12)


def test_delong_and_the_bootstrap_agree() -> None:
    """On 400 cases both give the same interval within a tenth of its width."""
    random = np.random.default_rng(4)
    labels = np.arange(400) < 160
    scores = random.normal(size=400) + 1.5 * labels
    by_formula = roc_auc_delong(scores, labels)
    by_resampling = stratified_interval(weighted_roc_auc, scores, labels, resamples=4000)
    width = by_formula.high - by_formula.low
    assert by_resampling.value == pytest.approx(by_formula.value)
    assert by_resampling.low == pytest.approx(by_formula.low, abs=0.1 * width)
    assert by_resampling.high == pytest.approx(by_formula.high, abs=0.1 * width)


def test_the_paired_test_keeps_its_level() -> None:
    """Of two equally good and dependent scores one is called better in about one case of twenty."""
    random = np.random.default_rng(8)
    labels = np.arange(120) < 50
    shared = [random.normal(size=120) + labels for _ in range(600)]
    found = [compare_roc_auc(each + random.normal(size=120), each + random.normal(size=120), labels).p < 0.05 for each in shared]
    assert 0.03 < np.mean(found) < 0.075


def test_a_paired_test_sees_more_than_two_intervals() -> None:
    """Where one score is the other with noise, their intervals overlap and the paired test still tells them apart."""
    random = np.random.default_rng(3)
    labels = np.arange(300) < 150
    good = random.normal(size=300) + 1.5 * labels
    worse = good + 0.7 * random.normal(size=300)
    assert roc_auc_delong(worse, labels).high > roc_auc_delong(good, labels).low
    comparison = compare_roc_auc(good, worse, labels)
    assert comparison.p < 0.01
    assert comparison.estimate.low > 0


def test_the_same_scores_do_not_differ() -> None:
    """A score compared with itself: no difference, p is 1; and two scores without fault are no division by zero."""
    scores, labels = HANLEY
    assert compare_roc_auc(scores, 2 * scores, labels).p == 1
    perfect = labels.astype(np.float64)
    assert compare_roc_auc(perfect, perfect + 1, labels).estimate.value == 0
    assert compare_roc_auc(perfect, -perfect, labels).p == 0


@pytest.mark.parametrize(
    ("scores", "labels", "said"),
    [
        ([1.0, 2.0], [True, True], "2 malignant and 0 other"),
        ([1.0, 2.0], [False, False], "0 malignant and 2 other"),
        ([1.0, 0, float("nan"), 3], [False, True, False, True], "1 of them with a score that is no number"),
        ([1.0], [False, True], "1 scores for 2 labels"),
        ([], [], "0 malignant and 0 other"),
    ],
)
def test_what_cannot_be_measured_is_refused(scores: list[float], labels: list[bool], said: str) -> None:
    """One kind of cases, a score that is no number, or scores without labels: an error that says what was found."""
    for figure in (roc_auc, pr_auc, roc_auc_delong):
        with pytest.raises(NotMeasurable, match=said):
            figure(np.array(scores, np.float64), np.array(labels, np.bool_))


def test_one_case_of_a_kind_has_no_spread() -> None:
    """DeLong's variance takes two of each kind: with one it would be too small, so it is refused."""
    with pytest.raises(NotMeasurable, match=r"1 malignant and 2 other cases: it takes at least 2 of each"):
        roc_auc_delong(np.array([1.0, 2, 3]), np.array([True, False, False]))
