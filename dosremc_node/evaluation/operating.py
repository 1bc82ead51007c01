"""Operating points: a threshold from validation cases, and what it finds and spares among others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dosremc_node.evaluation.cases import Estimate, Labels, Values
from dosremc_node.evaluation.ranking import Z95


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """What a threshold does: the share of the malignant that it flags, the share of the others that it spares."""

    threshold: float
    sensitivity: Estimate
    specificity: Estimate


def threshold_at_specificity(validation_scores: Values, malignant: Labels, specificity: float) -> float:
    """The lowest threshold at which at least that share of the others lie below it; a case is flagged at or above it.

    It is to be taken on validation cases: on the cases that it is judged by it would flatter itself.
    """
    others = np.sort(validation_scores[~malignant])
    return float(np.nextafter(others[min(len(others) - 1, int(np.ceil(specificity * len(others))) - 1)], np.inf))


def at_threshold(scores: Values, malignant: Labels, threshold: float) -> AtThreshold:
    """Sensitivity and specificity of ``threshold`` on these cases."""
    flagged = scores >= threshold
    return AtThreshold(
        threshold,
        share(int(flagged[malignant].sum()), int(malignant.sum())),
        share(int((~flagged[~malignant]).sum()), int((~malignant).sum())),
    )


def share(count: float, total: float) -> Estimate:
    """A share with Wilson's score interval (Wilson, JASA 1927), which holds near 0 and 1; NaN where ``total`` is 0."""
    if total == 0:
        return Estimate(np.nan, np.nan, np.nan)
    observed, shrink = count / total, 1 + Z95**2 / total
    middle = (observed + Z95**2 / (2 * total)) / shrink
    half = Z95 * np.sqrt(observed * (1 - observed) / total + Z95**2 / (4 * total**2)) / shrink
    return Estimate(observed, float(min(middle - half, observed)), float(max(middle + half, observed))).clipped()
