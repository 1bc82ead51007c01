"""Everything that is said of a network on one set of cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dosremc_node.evaluation.calibration import brier, calibration_intercept, calibration_slope, expected_over_observed, sigmoid
from dosremc_node.evaluation.cases import Estimate, Labels, Values, check
from dosremc_node.evaluation.operating import AtThreshold, at_threshold
from dosremc_node.evaluation.ranking import hanley_mcneil, roc_auc_delong, weighted_pr_auc, weighted_roc_auc
from dosremc_node.evaluation.resampling import stratified_interval


@dataclass(frozen=True, slots=True)
class Performance:
    """Figures with 95 % intervals; ``roc_auc_hanley_mcneil`` is the paper's interval, for comparison with its tables."""

    cases: int
    malignant: int
    roc_auc: Estimate
    roc_auc_bootstrap: Estimate
    roc_auc_hanley_mcneil: Estimate
    pr_auc: Estimate
    at_threshold: AtThreshold
    brier: float
    calibration_intercept: Estimate
    calibration_slope: Estimate
    expected_over_observed: Estimate


def performance(logits: Values, malignant: Labels, threshold: float) -> Performance:
    """From calibrated logits (n,) and labels (n,); ``threshold`` is a probability that was chosen on other cases.

    Raises `NotMeasurable`.
    """
    check(logits, malignant)
    area, probabilities, positives = roc_auc_delong(logits, malignant), sigmoid(logits), int(malignant.sum())
    return Performance(
        cases=len(malignant),
        malignant=positives,
        roc_auc=area,
        roc_auc_bootstrap=stratified_interval(weighted_roc_auc, logits, malignant),
        roc_auc_hanley_mcneil=hanley_mcneil(area.value, positives, int(np.sum(~malignant))),
        pr_auc=stratified_interval(weighted_pr_auc, logits, malignant),
        at_threshold=at_threshold(probabilities, malignant, threshold),
        brier=brier(probabilities, malignant),
        calibration_intercept=calibration_intercept(logits, malignant),
        calibration_slope=calibration_slope(logits, malignant),
        expected_over_observed=expected_over_observed(probabilities, malignant),
    )
