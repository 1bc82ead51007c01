"""What is measured of a network, and how sure one may be of it: no torch here, only scores and labels.

Ranking (ROC and PR area, DeLong), operating points, calibration, the bootstrap of cases within seeds, Holm's correction, plots.
"""

from dosremc_node.evaluation.calibration import (
    Bin,
    brier,
    calibrated,
    calibrated_logits,
    calibration_intercept,
    calibration_slope,
    expected_over_observed,
    platt,
    reliability,
    sigmoid,
)
from dosremc_node.evaluation.cases import Estimate, Labels, Values, per_breast
from dosremc_node.evaluation.multiplicity import holm
from dosremc_node.evaluation.operating import AtThreshold, at_threshold, share, threshold_at_specificity
from dosremc_node.evaluation.performance import Performance, performance
from dosremc_node.evaluation.ranking import (
    Comparison,
    compare_roc_auc,
    hanley_mcneil,
    pr_auc,
    roc_auc,
    roc_auc_delong,
    weighted_pr_auc,
    weighted_roc_auc,
    weighted_sensitivity,
)
from dosremc_node.evaluation.realised import Realised, realised
from dosremc_node.evaluation.resampling import Resamples, WeightedFigure, draw_seeds, over_seeds, p_above, stratified_interval

__all__ = [
    "AtThreshold",
    "Bin",
    "Comparison",
    "Estimate",
    "Labels",
    "Performance",
    "Realised",
    "Resamples",
    "Values",
    "WeightedFigure",
    "at_threshold",
    "brier",
    "calibrated",
    "calibrated_logits",
    "calibration_intercept",
    "calibration_slope",
    "compare_roc_auc",
    "draw_seeds",
    "expected_over_observed",
    "hanley_mcneil",
    "holm",
    "over_seeds",
    "p_above",
    "per_breast",
    "performance",
    "platt",
    "pr_auc",
    "realised",
    "reliability",
    "roc_auc",
    "roc_auc_delong",
    "share",
    "sigmoid",
    "stratified_interval",
    "threshold_at_specificity",
    "weighted_pr_auc",
    "weighted_roc_auc",
    "weighted_sensitivity",
]
