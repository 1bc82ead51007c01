"""Figures where not every woman's truth is looked for: those who are recalled, and a random part of the others, the audit arm.

Coding the others as healthy, or leaving them out, misleads by a factor; weighting each verified exam by one over its probability of
being verified does not (Horvitz and Thompson 1952; Begg and Greenes 1983).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dosremc_node.evaluation import Estimate, calibrated
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import LARGEST_WEIGHT, OperatingPoint

Z95 = 1.959963984540054


def weighted(scores: Scores, recalled: NDArray[np.bool_], audit_share: float) -> tuple[Scores, int]:
    """``scores`` with selection weights, and how many of them were clipped. ``recalled`` (n,): the image's exam was recalled, and so
    verified for certain; the others were verified with the probability ``audit_share``.
    """
    weights = np.where(recalled, 1.0, 1 / audit_share)
    return replace(scores, weights=np.minimum(weights, LARGEST_WEIGHT)), int((weights > LARGEST_WEIGHT).sum())


def expected_over_observed(scores: Scores, point: OperatingPoint) -> Estimate:
    """Expected malignant images, of all, over observed ones, weighted. The interval is that of its logarithm, exams as units.

    Infinite where none was observed.
    """
    expected = float(calibrated(scores.logits, point).sum())
    found = np.bincount(scores.exams, scores.weights * scores.malignant * scores.known, minlength=len(scores))
    observed = float(found.sum())
    if observed == 0:
        return Estimate(float("inf"), 0.0, float("inf"))
    spread = float(np.sqrt((found**2).sum()) / observed)
    ratio = expected / observed
    return Estimate(ratio, float(ratio * np.exp(-Z95 * spread)), float(ratio * np.exp(Z95 * spread)))
