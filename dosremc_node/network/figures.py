"""Figures that a release states: how well it separates, how its logits become probabilities, where its threshold lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Labels = NDArray[np.bool_]


def auc(scores: Values, malignant: Labels) -> float:
    """The area under the ROC curve: the share of pairs in the right order, ties counting half (Mann-Whitney)."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(malignant.sum())
    negatives = len(malignant) - positives
    return float((ranks[malignant].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def per_breast(image_values: Values) -> Values:
    """The mean of each breast's two views, which stand in a row."""
    return np.asarray(image_values.reshape(-1, 2).mean(axis=1))


def platt(logits: Values, malignant: Labels) -> tuple[float, float]:
    """Slope and intercept of a logistic regression on the logits, by Newton's method (Platt 1999, with his smoothed targets)."""
    positives, negatives = int(malignant.sum()), int((~malignant).sum())
    target = np.where(malignant, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        probability = sigmoid(design @ weights)
        gradient = design.T @ (target - probability)
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + 1e-9 * np.eye(2)
        weights = weights + np.clip(np.linalg.solve(curvature, gradient), -2, 2)
    return float(weights[0]), float(weights[1])


def threshold_at_specificity(probabilities: Values, malignant: Labels, specificity: float) -> float:
    """The lowest threshold at which at least that share of the benign lie below it."""
    benign = np.sort(probabilities[~malignant])
    return float(np.nextafter(benign[min(len(benign) - 1, int(np.ceil(specificity * len(benign))) - 1)], np.inf))


def sigmoid(value: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-value)))
