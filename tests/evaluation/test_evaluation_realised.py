"""What became of scores, where some cases stand for others."""

from __future__ import annotations

import numpy as np
import pytest

from dosremc_node.evaluation import realised, sigmoid


def test_a_case_that_stands_for_several_counts_as_several() -> None:
    """Every figure is that of the cases repeated; the intervals are wider, because the cases are fewer."""
    random = np.random.default_rng(0)
    logits = random.normal(-1, 1, 600)
    malignant = random.random(600) < sigmoid(logits)
    weights = random.integers(1, 5, 600)
    found, repeated = (
        realised(logits, malignant, weights.astype(np.float64), 0.4),
        realised(np.repeat(logits, weights), np.repeat(malignant, weights), np.ones(weights.sum()), 0.4),
    )
    assert found.weighted
    for name in ("calibration_intercept", "calibration_slope", "expected_over_observed", "roc_auc", "sensitivity", "specificity"):
        one, other = getattr(found, name), getattr(repeated, name)
        assert one.value == pytest.approx(other.value, abs=1e-6), name
        assert one.high - one.low > other.high - other.low, name


def test_verified_by_lot_is_as_good_as_all() -> None:
    """With all flagged cases and a tenth of the others, weighted, the calibration is told as with every case."""
    random = np.random.default_rng(1)
    logits = random.normal(-2, 1, 40_000)
    malignant = random.random(40_000) < sigmoid(logits)
    flagged = sigmoid(logits) >= 0.3
    known = flagged | (random.random(40_000) < 0.1)
    found = realised(logits[known], malignant[known], np.where(flagged[known], 1.0, 10.0), 0.3)
    assert found.calibration_intercept.low < 0 < found.calibration_intercept.high
    assert found.calibration_slope.low < 1 < found.calibration_slope.high
    assert found.expected_over_observed.low < 1 < found.expected_over_observed.high
    assert realised(logits[known], malignant[known], np.ones(known.sum()), 0.3).sensitivity.low > found.sensitivity.high
