"""The bootstrap: of cases, malignant and others apart; and of cases within seeds, where a figure is a mean over several runs.

What is resampled within seeds: first whole seeds, with replacement (a seed stands for one draw of the data and one training); then,
anew for every seed that was drawn and however often it was, its test cases, with replacement, malignant and others apart. A case is a
breast; both of its views go with it. Every figure of one `Resamples` sees the same draws, so differences between figures are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from dosremc_node.evaluation.cases import Estimate, Labels, Values
from dosremc_node.evaluation.ranking import Comparison

WeightedFigure = Callable[[Values, Labels, NDArray[np.floating]], Values]
"""From scores (n,), labels (n,) and weights (resamples, n) to one figure for each resample."""

RESAMPLES = 1000


def stratified_interval(
    figure: WeightedFigure, scores: Values, malignant: Labels, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """A figure of one set of cases with its percentile interval; cases are resampled, malignant and others apart."""
    weights = _case_counts(malignant, resamples, np.random.default_rng(seed))
    low, high = np.quantile(figure(scores, malignant, weights), [0.025, 0.975])
    return Estimate(float(figure(scores, malignant, np.ones((1, len(scores))))[0]), float(low), float(high))


def draw_seeds(seeds: int, *, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.intp]:
    """Which seeds each resample consists of, shape (resamples, seeds)."""
    return np.random.default_rng([seed, 1]).integers(0, seeds, (resamples, seeds))


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """The resamples of one test set in several seeds. ``malignant``: for each seed the labels (n,) of its cases.

    Several test sets of the same seeds share ``drawn`` (from `draw_seeds`), so that figures of both may be averaged or compared.
    """

    drawn: NDArray[np.intp]
    malignant: Sequence[Labels]
    counts: Sequence[NDArray[np.float32]]
    """For each seed (times drawn, n): how often each of its cases stands in each of the resamples that drew it."""

    @classmethod
    def of(cls, drawn: NDArray[np.intp], malignant: Sequence[Labels], seed: int = 0) -> Resamples:
        """Draw the cases."""
        random = np.random.default_rng([seed, 2])
        counts = [_case_counts(labels, int((drawn == index).sum()), random) for index, labels in enumerate(malignant)]
        return cls(drawn, malignant, counts)

    @classmethod
    def whole(cls, malignant: Sequence[Labels]) -> Resamples:
        """No resample but every seed and every case once: its figure is the value itself."""
        seeds = np.arange(len(malignant))[None]
        return cls(seeds, malignant, [np.ones((1, len(labels)), np.float32) for labels in malignant])

    def figures(self, figure: WeightedFigure, scores: Sequence[Values]) -> Values:
        """The mean over seeds of a figure, in each resample (resamples,); ``scores``: for each seed those of its cases.

        A case that has several scores in a row, such as its two views, is taken with all of them.
        """
        drawn_figures = np.empty(self.drawn.shape)
        for index, (labels, counts, values) in enumerate(zip(self.malignant, self.counts, scores, strict=True)):
            views = len(values) // len(labels)
            drawn_figures[self.drawn == index] = figure(values, np.repeat(labels, views), np.repeat(counts, views, axis=1))
        return np.asarray(drawn_figures.mean(axis=1))


def over_seeds(value: float, resampled: Values, seeds: int) -> Comparison:
    """A mean over seeds, its interval and the p value of "it is 0" (two-sided), from its figures in each resample.

    The interval is the value plus and minus Student's t with seeds - 1 degrees of freedom times the deviation of the resampled
    figures: with five seeds the resamples' own percentiles are too narrow (Hesterberg, American Statistician 2015). One seed has no
    spread between seeds; its interval is of its cases alone, and normal.
    """
    half = float(t.ppf(0.975, _freedom(seeds)) * np.std(resampled, ddof=1))
    return Comparison(Estimate(value, value - half, value + half), min(2 * p_above(abs(value), resampled, seeds, 0.0), 1.0))


def p_above(value: float, resampled: Values, seeds: int, bound: float) -> float:
    """The p value of "it is not above ``bound``" (one-sided), as `over_seeds` judges."""
    error = float(np.std(resampled, ddof=1))
    if error == 0:
        return float(value <= bound)
    return float(t.sf((value - bound) / error, _freedom(seeds)))


def _freedom(seeds: int) -> float:
    return seeds - 1 if seeds > 1 else np.inf


def _case_counts(malignant: Labels, resamples: int, random: np.random.Generator) -> NDArray[np.float32]:
    """How often each case stands in each resample, shape (resamples, n): as many of each kind as there are."""
    counts = np.zeros((resamples, len(malignant)), np.float32)
    for kind in (malignant, ~malignant):
        size = int(kind.sum())
        if size:
            counts[:, kind] = random.multinomial(size, np.full(size, 1 / size), resamples)
    return counts
