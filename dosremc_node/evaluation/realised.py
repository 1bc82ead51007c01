"""What became of the scores of service: cases whose truth is known, each standing for as many as it was one of that were looked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosremc_node.evaluation.calibration import calibration_intercept, calibration_slope, expected_over_observed, sigmoid
from dosremc_node.evaluation.cases import Estimate, Labels, Values, check
from dosremc_node.evaluation.operating import share
from dosremc_node.evaluation.ranking import roc_auc_delong, weighted_roc_auc
from dosremc_node.evaluation.resampling import stratified_interval


@dataclass(frozen=True, slots=True)
class Realised:
    """Figures with 95 % intervals. Calibration comes first: at screening's prevalence it is what fails first."""

    cases: int
    malignant: int
    weighted: bool
    """Whether some cases stand for others."""
    calibration_intercept: Estimate
    calibration_slope: Estimate
    expected_over_observed: Estimate
    roc_auc: Estimate
    sensitivity: Estimate
    specificity: Estimate


def realised(logits: Values, malignant: Labels, weights: Values, threshold: float) -> Realised:
    """From calibrated logits (n,), labels (n,) and how many cases each stands for (n,), more than 0. Raises `NotMeasurable`."""
    check(logits, malignant, of_each_kind=2)
    is_weighted, probabilities = bool((weights != 1).any()), sigmoid(logits)
    stands_for, flagged = weights if is_weighted else None, probabilities >= threshold
    return Realised(
        cases=len(malignant),
        malignant=int(malignant.sum()),
        weighted=is_weighted,
        calibration_intercept=calibration_intercept(logits, malignant, stands_for),
        calibration_slope=calibration_slope(logits, malignant, stands_for),
        expected_over_observed=expected_over_observed(probabilities, malignant, stands_for),
        roc_auc=_weighted_area(logits, malignant, weights) if is_weighted else roc_auc_delong(logits, malignant),
        sensitivity=_weighted_share(flagged[malignant], weights[malignant]),
        specificity=_weighted_share(~flagged[~malignant], weights[~malignant]),
    )


def _weighted_area(logits: Values, malignant: Labels, weights: Values) -> Estimate:
    def area(scores: Values, labels: Labels, counts: NDArray[np.floating]) -> Values:
        return weighted_roc_auc(scores, labels, counts * weights)

    return stratified_interval(area, logits, malignant)


def _weighted_share(hit: Labels, weights: Values) -> Estimate:
    """Wilson's interval of as many cases as the weights are worth (Kish 1965)."""
    size = float(weights.sum() ** 2 / (weights**2).sum())
    return share(float(weights @ hit / weights.sum()) * size, size)
