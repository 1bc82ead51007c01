"""Whether probabilities mean what they say: Platt's map, intercept and slope, expected over observed, Brier score, reliability.

Intercept, slope and expected over observed come first (Van Calster et al., BMC Medicine 2019): a calibration error over bins is near
zero even for a constant, where few cases are malignant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosremc_node.network.evaluation.cases import Estimate, Labels, Values, check
from dosremc_node.network.evaluation.operating import share
from dosremc_node.network.evaluation.ranking import Z95, roc_auc
from dosremc_node.records import OperatingPoint

NEWTON_STEPS = 100
CONVERGED = 1e-10


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases of like probability: how many, their mean probability, the share of them that is malignant."""

    cases: int
    expected: float
    observed: Estimate


def sigmoid(value: Values) -> Values:
    """From logits to probabilities."""
    return np.asarray(0.5 * (1 + np.tanh(value / 2)))  # no overflow at either end


def calibrated_logits(logits: Values, point: OperatingPoint) -> Values:
    """What `OperatingPoint.probability` takes the sigmoid of, for many images (n,)."""
    aligned = np.array([point.aligned(float(logit)) for logit in logits]) if point.alignment else logits
    return np.asarray(point.slope * aligned + point.intercept)


def calibrated(logits: Values, point: OperatingPoint) -> Values:
    """`OperatingPoint.probability` for many images (n,)."""
    return sigmoid(calibrated_logits(logits, point))


def platt(logits: Values, malignant: Labels) -> tuple[float, float]:
    """Slope and intercept of a logistic regression on the logits, with smoothed targets (Platt 1999), so that there always is one."""
    positives, negatives = int(malignant.sum()), int((~malignant).sum())
    target = np.where(malignant, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    (slope, intercept), _ = _logistic(np.stack([logits, np.ones_like(logits)], axis=1), target)
    return slope, intercept


def brier(probabilities: Values, malignant: Labels) -> float:
    """The mean squared distance from the label: 0 is best, p (1 - p) is what the prevalence p alone would reach."""
    return float(np.mean((probabilities - malignant) ** 2))


def calibration_intercept(logits: Values, malignant: Labels) -> Estimate:
    """What must be added to the logits so that as many cases are expected as observed: 0 is right, below 0 they promise too much.

    Raises `NotMeasurable`.
    """
    check(logits, malignant)
    return _with_interval(*_logistic(np.ones((len(logits), 1)), malignant.astype(np.float64), logits))


def calibration_slope(logits: Values, malignant: Labels) -> Estimate:
    """The slope of a logistic regression on the logits: 1 is right, below 1 they are too sure of themselves.

    NaN where the scores part the two kinds without fault, which has no finite slope. Raises `NotMeasurable`.
    """
    if roc_auc(logits, malignant) in {0.0, 1.0}:
        return Estimate(np.nan, np.nan, np.nan)
    return _with_interval(*_logistic(np.stack([logits, np.ones_like(logits)], axis=1), malignant.astype(np.float64)))


def expected_over_observed(probabilities: Values, malignant: Labels) -> Estimate:
    """Expected over observed malignant cases: 1 is right; the interval is that of its logarithm (Debray et al., BMJ 2017).

    Raises `NotMeasurable`.
    """
    check(probabilities, malignant)
    observed = int(malignant.sum())
    ratio, error = float(probabilities.sum()) / observed, np.sqrt((1 - observed / len(malignant)) / observed)
    return Estimate(ratio, float(ratio * np.exp(-Z95 * error)), float(ratio * np.exp(Z95 * error)))


def reliability(probabilities: Values, malignant: Labels, bins: int = 10) -> list[Bin]:
    """Bins of equally many cases, from the lowest probability up; never more bins than cases."""
    parts = np.array_split(np.argsort(probabilities, kind="stable"), min(bins, len(probabilities)))
    return [Bin(len(part), float(probabilities[part].mean()), share(int(malignant[part].sum()), len(part))) for part in parts]


def _with_interval(weights: Values, covariance: Values) -> Estimate:
    """The first weight with Wald's interval."""
    value, half = float(weights[0]), Z95 * float(np.sqrt(covariance[0, 0]))
    return Estimate(value, value - half, value + half)


def _logistic(design: Values, target: Values, offset: NDArray[np.float64] | float = 0.0) -> tuple[Values, Values]:
    """Maximum likelihood by Newton's method: weights (k,) and their covariance (k, k), the inverse of the information.

    A step is halved until the likelihood does not fall, so that a far start cannot throw it out.
    """
    weights = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        probability = sigmoid(design @ weights + offset)
        information = (design * (probability * (1 - probability))[:, None]).T @ design + 1e-12 * np.eye(len(weights))
        step = np.linalg.solve(information, design.T @ (target - probability))
        while _likelihood(design @ (weights + step) + offset, target) < _likelihood(design @ weights + offset, target) - CONVERGED:
            step = step / 2
        weights = weights + step
        if np.abs(step).max() < CONVERGED * max(1.0, float(np.abs(weights).max())):
            break
    return weights, np.asarray(np.linalg.inv(information), np.float64)


def _likelihood(linear: Values, target: Values) -> float:
    return float(np.sum(target * linear - np.logaddexp(0, linear)))
