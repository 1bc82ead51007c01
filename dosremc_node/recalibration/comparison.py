"""Champion against challenger on exams that neither has seen, with the exam as the unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from dosremc_node.network.evaluation import Values, calibrated, calibrated_logits
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import OperatingPoint


@dataclass(frozen=True, slots=True)
class Comparison:
    """The challenger's mean log loss less the champion's: below 0 the challenger is better. ``error`` is its standard error."""

    difference: float
    error: float
    events: int
    exams: int

    def upper(self, alpha: float) -> float:
        """The one-sided upper bound: the challenger is better where this lies below 0."""
        return self.difference + float(norm.isf(alpha)) * self.error


def compare(champion: OperatingPoint, challenger: OperatingPoint, held_out: Scores) -> Comparison:
    """Both on the same images, weighted by how likely their truth was to be known."""
    labelled = held_out.labelled()
    apart = labelled.weights * (log_losses(labelled, challenger) - log_losses(labelled, champion))
    total = float(labelled.weights.sum())
    by_exam = np.bincount(labelled.exams, apart, minlength=len(labelled))
    share = np.bincount(labelled.exams, labelled.weights, minlength=len(labelled))
    difference = float(by_exam.sum() / total)
    error = float(np.sqrt(((by_exam - difference * share) ** 2).sum()) / total)
    return Comparison(difference, error, labelled.events, len(labelled))


def log_losses(scores: Scores, point: OperatingPoint) -> Values:
    """Of each image."""
    now = calibrated_logits(scores.logits, point)
    return np.asarray(np.logaddexp(0, now) - scores.malignant * now)


def flagged_share(scores: Scores, point: OperatingPoint) -> float:
    """The share of exams with an image at or above the threshold."""
    positive = calibrated(scores.logits, point) >= point.threshold
    return float((np.bincount(scores.exams, positive, minlength=len(scores)) > 0).mean())
