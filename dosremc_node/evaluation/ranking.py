"""How well scores rank: areas under the ROC and the precision-recall curve, DeLong's variance and his paired test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from dosremc_node.evaluation.cases import Estimate, Labels, Values, check

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure that is 0 where nothing differs, with its interval and the p value of "it is 0"."""

    estimate: Estimate
    p: float


def roc_auc(scores: Values, malignant: Labels) -> float:
    """The area under the ROC curve: the share of pairs in the right order, ties counting half (Mann-Whitney). Raises `NotMeasurable`."""
    check(scores, malignant)
    return float(weighted_roc_auc(scores, malignant, np.ones((1, len(scores))))[0])


def pr_auc(scores: Values, malignant: Labels) -> float:
    """Average precision: at each distinct score the precision, weighted by the recall that it adds; no interpolation.
    Raises `NotMeasurable`.
    """
    check(scores, malignant)
    return float(weighted_pr_auc(scores, malignant, np.ones((1, len(scores))))[0])


def weighted_roc_auc(scores: Values, malignant: Labels, weights: NDArray[np.floating]) -> Values:
    """`roc_auc` with each case counted as often as each row of ``weights`` (resamples, n) says: one area for each row."""
    positives, negatives = _counts(scores, malignant, weights)
    below = np.cumsum(negatives, axis=1) - negatives
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return np.asarray((positives * (below + negatives / 2)).sum(axis=1) / pairs)


def weighted_pr_auc(scores: Values, malignant: Labels, weights: NDArray[np.floating]) -> Values:
    """`pr_auc` with each case counted as often as each row of ``weights`` (resamples, n) says: one area for each row."""
    positives, negatives = (counts[:, ::-1] for counts in _counts(scores, malignant, weights))
    found, flagged = np.cumsum(positives, axis=1), np.cumsum(positives + negatives, axis=1)
    return np.asarray((positives * found / np.maximum(flagged, 1)).sum(axis=1) / positives.sum(axis=1))


def weighted_sensitivity(scores: Values, malignant: Labels, weights: NDArray[np.floating], specificity: float) -> Values:
    """The height of the ROC curve at a specificity, for each row of ``weights``: the best corner that spares at least that share."""
    positives, negatives = (np.cumsum(counts[:, ::-1], axis=1) for counts in _counts(scores, malignant, weights))
    spares_enough = negatives <= (1 - specificity + 1e-9) * negatives[:, -1:]
    return np.asarray(np.where(spares_enough, positives, 0).max(axis=1) / positives[:, -1])


def _counts(scores: Values, malignant: Labels, weights: NDArray[np.floating]) -> tuple[Values, Values]:
    """How many malignant and other cases have each distinct score, from the lowest up: two arrays (resamples, distinct scores)."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    ordered, positive = np.asarray(weights[:, order], np.float64), malignant[order]
    positives, negatives = (np.add.reduceat(ordered * kind, starts, axis=1) for kind in (positive, ~positive))
    return positives, negatives


def roc_auc_delong(scores: Values, malignant: Labels) -> Estimate:
    """The area with DeLong's interval (DeLong et al., Biometrics 1988), cut off at 0 and 1. Raises `NotMeasurable`."""
    areas, covariance = delong([scores], malignant)
    half = Z95 * float(np.sqrt(covariance[0, 0]))
    return Estimate(float(areas[0]), float(areas[0]) - half, float(areas[0]) + half).clipped()


def compare_roc_auc(one: Values, other: Values, malignant: Labels) -> Comparison:
    """The area of ``one`` less that of ``other`` on the same cases, and DeLong's paired test (two-sided). Raises `NotMeasurable`."""
    areas, covariance = delong([one, other], malignant)
    contrast = np.array([1.0, -1.0])
    difference, error = float(contrast @ areas), float(np.sqrt(max(contrast @ covariance @ contrast, 0.0)))
    estimate = Estimate(difference, difference - Z95 * error, difference + Z95 * error)
    if error == 0:  # both rank every case alike, or both without fault
        return Comparison(estimate, 1.0 if difference == 0 else 0.0)
    return Comparison(estimate, float(2 * norm.sf(abs(difference) / error)))


def delong(models: list[Values], malignant: Labels) -> tuple[Values, Values]:
    """The areas (k,) of k models on the same cases and their covariance (k, k).

    By placement values, which sorting gives in n log n (Sun & Xu, IEEE Signal Processing Letters 2014) and which ties do not disturb.
    Raises `NotMeasurable`, also where there is but one case of a kind: it has no spread.
    """
    for scores in models:
        check(scores, malignant, of_each_kind=2)
    of_positives, of_negatives = (np.stack(each) for each in zip(*(_placements(scores, malignant) for scores in models), strict=True))
    covariance = sum(np.atleast_2d(np.cov(each)) / each.shape[1] for each in (of_positives, of_negatives))
    return of_positives.mean(axis=1), np.asarray(covariance)


def _placements(scores: Values, malignant: Labels) -> tuple[Values, Values]:
    """For each malignant case the share of the others below it, for each other the share of malignant ones above; ties half."""
    positives, negatives = scores[malignant], scores[~malignant]
    return _share_below(positives, negatives), 1 - _share_below(negatives, positives)


def _share_below(cases: Values, others: Values) -> Values:
    ordered = np.sort(others)
    sides = np.searchsorted(ordered, cases, "left") + np.searchsorted(ordered, cases, "right")
    return np.asarray(sides / (2 * len(ordered)))


def hanley_mcneil(area: float, positives: int, negatives: int) -> Estimate:
    """The interval that the paper prints (Hanley & McNeil, Radiology 1982): from the area and the numbers of cases alone."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)) / (positives * negatives)
    half = Z95 * float(np.sqrt(variance))
    return Estimate(area, area - half, area + half).clipped()
