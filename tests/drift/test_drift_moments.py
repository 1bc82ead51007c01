"""Distances of live images from their bank, and what calibrated probabilities promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from dosremc_node.drift import bank_distances, expected_performance, trace
from dosremc_node.drift.moments import image_signal, layer_scores
from dosremc_node.records import BatchNormMoments, LayerMoments

BANK = {"norm.running_mean": np.array([0.0, 1.0, -2.0]), "norm.running_var": np.array([1.0, 4.0, 0.25])}


def an_image(shift: float, widen: float, noise: float = 0.0, seed: int = 0) -> BatchNormMoments:
    """Every channel's mean lies ``shift`` standard deviations from the bank's, and it is ``widen`` times as wide."""
    random, width = np.random.default_rng(seed), np.sqrt(BANK["norm.running_var"])
    mean = BANK["norm.running_mean"] + (shift + noise * random.standard_normal(3)) * width
    return BatchNormMoments({"norm": LayerMoments(100, tuple(mean), tuple((widen * width) ** 2))})


@given(st.floats(-3, 3), st.floats(0.2, 5))
def test_distances_are_in_standard_deviations_of_the_bank(shift: float, widen: float) -> None:
    """Whatever the scale of a channel: 0 and 0 where the images are those that the bank was made from."""
    found = bank_distances([an_image(shift, widen)] * 3, BANK)["norm"]
    assert found.shift == pytest.approx(abs(shift), abs=1e-6)
    assert found.spread == pytest.approx(abs(np.log(widen)), abs=1e-6)
    traces = trace([an_image(shift, widen)], BANK)
    assert traces.layers == ("norm",)
    assert traces.values[0, 0] == pytest.approx([shift, np.log(widen)], abs=1e-6)


def test_a_pool_of_images_is_as_wide_as_its_means_lie_apart() -> None:
    """Images of which every one is narrow, but elsewhere, are together as wide as the bank."""
    images = [an_image(shift, 0.0) for shift in (-1.0, 1.0)]
    found = bank_distances(images, BANK)["norm"]
    assert (found.shift, found.spread) == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.0, abs=1e-6))


def test_more_contrast_moves_the_signal_and_its_layer() -> None:
    """Both tell the direction."""
    before, after = ([an_image(0, widen, 0.1, seed) for seed in range(20)] for widen in (1.0, 1.5))
    reference, live = trace(before, BANK), trace(after, BANK)
    assert image_signal(live).mean() - image_signal(reference).mean() == pytest.approx(np.log(1.5))
    assert layer_scores(reference, live)[0, 1] > 5


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.02, 0.3))
def test_probabilities_that_hold_tell_performance_without_labels(seed: int, threshold: float) -> None:
    """ROC area, sensitivity and specificity are those that labels drawn from the probabilities have."""
    random = np.random.default_rng(seed)
    probabilities = random.beta(0.5, 6, 40_000)
    malignant, flagged = random.random(40_000) < probabilities, probabilities >= threshold
    found = expected_performance(probabilities[:4000], threshold)
    assert found.roc_auc.low - 0.01 <= roc_auc_score(malignant, probabilities) <= found.roc_auc.high + 0.01
    assert found.sensitivity.low - 0.03 <= flagged[malignant].mean() <= found.sensitivity.high + 0.03
    assert found.specificity.low - 0.01 <= (~flagged[~malignant]).mean() <= found.specificity.high + 0.01
    assert found.malignant_per_1000.low - 5 <= 1000 * malignant.mean() <= found.malignant_per_1000.high + 5


def test_equal_probabilities_rank_nothing() -> None:
    """The expected ROC area of a constant is one half."""
    assert expected_performance(np.full(500, 0.01), 0.5).roc_auc.value == pytest.approx(0.5)
