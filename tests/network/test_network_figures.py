"""The figures that a release states, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosremc_node.network.figures import auc, per_breast, platt, sigmoid, threshold_at_specificity

SCORED = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30).filter(
    lambda cases: len({label for _, label in cases}) == 2
)


@given(SCORED)
def test_auc_is_the_share_of_pairs_in_the_right_order(cases: list[tuple[int, bool]]) -> None:
    """Counted pair by pair, ties half."""
    scores, labels = np.array([score for score, _ in cases], np.float64), np.array([label for _, label in cases])
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels] for b in scores[~labels]]
    assert auc(scores, labels) == pytest.approx(np.mean(pairs))


def test_platt_finds_the_map_that_made_the_labels() -> None:
    """Labels drawn from sigmoid(2 z - 1) give back slope and intercept."""
    random = np.random.default_rng(1)
    logits = random.normal(size=40_000)
    slope, intercept = platt(logits, random.random(40_000) < sigmoid(2 * logits - 1))
    assert slope == pytest.approx(2, abs=0.08)
    assert intercept == pytest.approx(-1, abs=0.05)


@given(SCORED, st.floats(0.5, 0.99))
def test_the_threshold_keeps_its_specificity(cases: list[tuple[int, bool]], specificity: float) -> None:
    """At least the asked share of the benign lies below the threshold, and any lower threshold at a benign score would lose it."""
    scores, labels = np.array([score for score, _ in cases], np.float64), np.array([label for _, label in cases])
    threshold = threshold_at_specificity(scores, labels, specificity)
    benign = scores[~labels]
    assert (benign < threshold).mean() >= specificity
    lower = benign[benign < threshold].max()
    assert (benign < lower).mean() < specificity


def test_a_breast_is_the_mean_of_its_views() -> None:
    """Images come in pairs, CC and MLO."""
    assert per_breast(np.array([0.0, 1.0, 4.0, 2.0])).tolist() == [0.5, 3.0]
