"""Champion against challenger on exams that neither has seen, with the exam as the unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from dosremc_node.evaluation import Labels, Values, calibrated, calibrated_logits
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import OperatingPoint


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of the challenger less the champion's, and its standard error: in log loss the challenger is better below 0."""

    difference: float
    error: float
    events: int
    exams: int

    def upper(self, alpha: float) -> float:
        """The one-sided upper bound."""
        return self.difference + float(norm.isf(alpha)) * self.error

    def lower(self, alpha: float) -> float:
        """The one-sided lower bound."""
        return self.difference - float(norm.isf(alpha)) * self.error

    def power(self, margin: float, alpha: float) -> float:
        """The probability that an equal challenger is shown to be worse by less than ``margin``."""
        return float(norm.cdf(margin / self.error - norm.isf(alpha))) if self.error > 0 else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """The same exams as both score them: image by image the same, with their labels. Banks differ, or points, or both."""

    champion: Scores
    challenger: Scores
    champion_point: OperatingPoint
    challenger_point: OperatingPoint

    @property
    def champion_share(self) -> float:
        """The share of exams that the champion flags."""
        return flagged_share(self.champion, self.champion_point)

    @property
    def challenger_share(self) -> float:
        """The share of exams that the challenger flags."""
        return flagged_share(self.challenger, self.challenger_point)


def compare(champion: OperatingPoint, challenger: OperatingPoint, held_out: Scores) -> Comparison:
    """Both on the same images, weighted by how likely their truth was to be known."""
    return compare_log_loss([HeldOut(held_out, held_out, champion, challenger)])


def compare_log_loss(parts: list[HeldOut]) -> Comparison:
    """The mean log loss per image over all parts, weighted, and its error over exams."""
    sums, shares, events = [], [], 0
    for part in parts:
        champion, challenger = part.champion.labelled(), part.challenger.labelled()
        apart = champion.weights * (log_losses(challenger, part.challenger_point) - log_losses(champion, part.champion_point))
        sums.append(np.bincount(champion.exams, apart, minlength=len(champion)))
        shares.append(np.bincount(champion.exams, champion.weights, minlength=len(champion)))
        events += champion.events
    by_exam, share = np.concatenate(sums), np.concatenate(shares)
    total = float(share.sum())
    difference = float(by_exam.sum() / total)
    error = float(np.sqrt(((by_exam - difference * share) ** 2).sum()) / total)
    return Comparison(difference, error, events, len(share))


def compare_areas(parts: list[HeldOut]) -> Comparison:
    """The area under the ROC curve over exams, each by its most suspicious image with a label, weighted.

    The error is DeLong's (Biometrics 1988), from weighted placement values. There must be two exams of either kind at least.
    """
    of_exams = [_exams(part) for part in parts]
    champion, challenger, malignant, weights = (np.concatenate(column) for column in zip(*of_exams, strict=True))
    difference, variance = 0.0, 0.0
    for kind in (malignant, ~malignant):
        above = 1.0 if kind is malignant else -1.0
        placed = above * (_shares_below(challenger, kind, weights) - _shares_below(champion, kind, weights))
        own = weights[kind]
        mean = float((own * placed).sum() / own.sum())
        difference += mean / 2  # the mean of either kind is the difference
        variance += float((own**2 * (placed - mean) ** 2).sum() / own.sum() ** 2) * len(own) / (len(own) - 1)
    return Comparison(difference, float(np.sqrt(variance)), int(malignant.sum()), len(malignant))


def _exams(part: HeldOut) -> tuple[Values, Values, Labels, Values]:
    """Of each exam with a label: the highest calibrated logit of champion and challenger, whether it has a malignancy, its mean weight."""
    champion, challenger = part.champion.labelled(), part.challenger.labelled()
    found = []
    for scores, point in ((champion, part.champion_point), (challenger, part.challenger_point)):
        highest = np.full(len(scores), -np.inf)
        np.maximum.at(highest, scores.exams, calibrated_logits(scores.logits, point))
        found.append(highest)
    malignant = np.bincount(champion.exams, champion.malignant, minlength=len(champion)) > 0
    weights = np.bincount(champion.exams, champion.weights, minlength=len(champion)) / np.bincount(champion.exams, minlength=len(champion))
    return found[0], found[1], malignant, weights


def _shares_below(scores: Values, kind: Labels, weights: Values) -> Values:
    """For each case of ``kind`` the weighted share of the others with a lower score; ties count half."""
    order = np.argsort(scores[~kind], kind="stable")
    others, cumulated = scores[~kind][order], np.concatenate([[0.0], np.cumsum(weights[~kind][order])])
    below, up_to = (cumulated[np.searchsorted(others, scores[kind], side)] for side in ("left", "right"))
    return np.asarray((below + up_to) / 2 / cumulated[-1])


def log_losses(scores: Scores, point: OperatingPoint) -> Values:
    """Of each image."""
    now = calibrated_logits(scores.logits, point)
    return np.asarray(np.logaddexp(0, now) - scores.malignant * now)


def flagged_share(scores: Scores, point: OperatingPoint) -> float:
    """The share of exams with an image at or above the threshold."""
    positive = calibrated(scores.logits, point) >= point.threshold
    return float((np.bincount(scores.exams, positive, minlength=len(scores)) > 0).mean())
