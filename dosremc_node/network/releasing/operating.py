"""The operating point of a domain, from its validation images alone."""

from __future__ import annotations

import numpy as np

from dosremc_node.evaluation import platt, roc_auc, sigmoid, threshold_at_specificity
from dosremc_node.network.data import LoadedImages
from dosremc_node.network.prediction import Network
from dosremc_node.network.releasing.images import breasts
from dosremc_node.network.scoring import logits
from dosremc_node.records import OperatingPoint


def operating_point(network: Network, validation: LoadedImages, specificity: float) -> tuple[OperatingPoint, float]:
    """Calibration per image (Platt) and the threshold per breast at which this share of the negative breasts is spared, and the area
    under the ROC curve of the validation breasts.

    The probabilities are those of the validation images' share of malignant ones, which ``target`` names: elsewhere they are others.
    """
    scores = logits(network, validation.examples)
    slope, intercept = platt(scores, validation.examples.malignant)
    probabilities, malignant = breasts(validation.rows, sigmoid(slope * scores + intercept))
    target = f"{specificity:.0%} specificity on {len(malignant)} validation breasts, {np.mean(malignant):.1%} of them malignant"
    threshold = threshold_at_specificity(probabilities, malignant, specificity)
    return OperatingPoint(threshold, slope, intercept, target), roc_auc(probabilities, malignant)
