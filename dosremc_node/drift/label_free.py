"""What calibrated probabilities alone say of performance, before any label is known.

If a breast of probability p is malignant in p of all cases, then it counts as p of a malignant one and 1 - p of another; sensitivity,
specificity and ROC area follow (confidence-based performance estimation: Guillory et al., ICCV 2021; NannyML). It is right only as long as
the calibration is: it sees a change of the women, not one of the scanner, and never takes the place of labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dosremc_node.drift.reference import Values

RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with the limits of its 95 % interval, by resampling of breasts."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ExpectedPerformance:
    """``malignant_per_1000`` breasts; ROC area, sensitivity and specificity as the calibration promises them."""

    breasts: int
    malignant_per_1000: Range
    roc_auc: Range
    sensitivity: Range
    specificity: Range


def expected_performance(probabilities: Values, threshold: float, seed: int = 0) -> ExpectedPerformance:
    """From the calibrated probability of each breast (n,); a breast is flagged at or above ``threshold``."""
    ordered = np.sort(probabilities)
    weights = np.random.default_rng(seed).multinomial(len(ordered), np.full(len(ordered), 1 / len(ordered)), RESAMPLES)
    weights[0] = 1
    malignant, others, flagged = weights * ordered, weights * (1 - ordered), ordered >= threshold
    with np.errstate(invalid="ignore", divide="ignore"):
        below = np.cumsum(others, axis=1) - others / 2
        area = (malignant * below).sum(axis=1) / (malignant.sum(axis=1) * others.sum(axis=1))
        sensitivity = malignant[:, flagged].sum(axis=1) / malignant.sum(axis=1)
        specificity = others[:, ~flagged].sum(axis=1) / others.sum(axis=1)
    return ExpectedPerformance(len(ordered), _range(1000 * malignant.mean(axis=1)), _range(area), _range(sensitivity), _range(specificity))


def _range(resampled: Values) -> Range:
    low, high = np.quantile(resampled[1:], [0.025, 0.975])
    return Range(float(resampled[0]), float(low), float(high))
