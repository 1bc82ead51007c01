"""Whether probabilities mean what they say: Platt's map, intercept and slope, expected over observed, Brier score, reliability.

Intercept, slope and expected over observed come first (Van Calster et al., BMC Medicine 2019): a calibration error over bins is near
zero even for a constant, where few cases are malignant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosremc_node.evaluation.cases import Estimate, Labels, Values, check
from dosremc_node.evaluation.operating import share
from dosremc_node.evaluation.ranking import Z95, roc_auc
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


def calibration_intercept(logits: Values, malignant: Labels, weights: Values | None = None) -> Estimate:
    """What must be added to the logits so that as many cases are expected as observed: 0 is right, below 0 they promise too much.

    ``weights`` (n,): how many cases each stands for, 1 by default. Raises `NotMeasurable`.
    """
    check(logits, malignant)
    return _with_interval(*_logistic(np.ones((len(logits), 1)), malignant.astype(np.float64), logits, weights))


def calibration_slope(logits: Values, malignant: Labels, weights: Values | None = None) -> Estimate:
    """The slope of a logistic regression on the logits: 1 is right, below 1 they are too sure of themselves.

    NaN where the scores part the two kinds without fault, which has no finite slope. Raises `NotMeasurable`.
    """
    if roc_auc(logits, malignant) in {0.0, 1.0}:
        return Estimate(np.nan, np.nan, np.nan)
    return _with_interval(*_logistic(np.stack([logits, np.ones_like(logits)], axis=1), malignant.astype(np.float64), weights=weights))


def expected_over_observed(probabilities: Values, malignant: Labels, weights: Values | None = None) -> Estimate:
    """Expected over observed malignant cases: 1 is right; the interval is that of its logarithm (Debray et al., BMJ 2017).

    Raises `NotMeasurable`.
    """
    check(probabilities, malignant)
    weights = np.ones(len(malignant)) if weights is None else weights
    observed = float(weights @ malignant)
    ratio = float(weights @ probabilities) / observed
    # Of a Poisson count where all stand for themselves, less what is certain of so many of so many cases.
    error = np.sqrt((weights**2 @ malignant / observed - observed / weights.sum()) / observed)
    return Estimate(ratio, float(ratio * np.exp(-Z95 * error)), float(ratio * np.exp(Z95 * error)))


def reliability(probabilities: Values, malignant: Labels, bins: int = 10) -> list[Bin]:
    """Bins of equally many cases, from the lowest probability up; never more bins than cases."""
    parts = np.array_split(np.argsort(probabilities, kind="stable"), min(bins, len(probabilities)))
    return [Bin(len(part), float(probabilities[part].mean()), share(int(malignant[part].sum()), len(part))) for part in parts]


def _with_interval(weights: Values, covariance: Values) -> Estimate:
    """The first weight with Wald's interval."""
    value, half = float(weights[0]), Z95 * float(np.sqrt(covariance[0, 0]))
    return Estimate(value, value - half, value + half)


def _logistic(
    design: Values, target: Values, offset: NDArray[np.float64] | float = 0.0, weights: Values | None = None
) -> tuple[Values, Values]:
    """Maximum likelihood by Newton's method: coefficients (k,) and their covariance (k, k), the inverse of the information.

    Where cases stand for several (``weights``) the covariance is the sandwich, which does not take them for more than they are. A step is
    halved until the likelihood does not fall, so that a far start cannot throw it out.
    """
    stands_for, found = np.ones(len(target)) if weights is None else weights, np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        probability = sigmoid(design @ found + offset)
        information = (design * (stands_for * probability * (1 - probability))[:, None]).T @ design + 1e-12 * np.eye(len(found))
        step = np.linalg.solve(information, design.T @ (stands_for * (target - probability)))
        before = _likelihood(design @ found + offset, target, stands_for)
        while _likelihood(design @ (found + step) + offset, target, stands_for) < before - CONVERGED:
            step = step / 2
        found = found + step
        if np.abs(step).max() < CONVERGED * max(1.0, float(np.abs(found).max())):
            break
    inverse = np.asarray(np.linalg.inv(information), np.float64)
    if weights is None:
        return found, inverse
    each = design * (weights * (target - probability))[:, None]
    return found, inverse @ (each.T @ each) @ inverse


def _likelihood(linear: Values, target: Values, weights: Values) -> float:
    return float(np.sum(weights * (target * linear - np.logaddexp(0, linear))))
