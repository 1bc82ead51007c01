"""What the cells' scores amount to: figures as means over seeds, resampled alike everywhere, so that any of them may be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dosremc_node.evaluation import (
    Comparison,
    Labels,
    Resamples,
    Values,
    WeightedFigure,
    draw_seeds,
    over_seeds,
    p_above,
    per_breast,
    platt,
    threshold_at_specificity,
)

SPECIFICITY = 0.9
UNADAPTED = "unadapted"
VALIDATION = "validation"


@dataclass(frozen=True, slots=True)
class Transfer:
    """A row, from the vendor that the network was trained on to the one that it is meant for."""

    row: str
    source: str
    target: str

    @property
    def untouched(self) -> Transfer:
        """The same way without adaptation."""
        return Transfer(UNADAPTED, self.source, self.target)


CellScores = Callable[[Transfer, int], Mapping[str, NDArray[np.float64]]]
"""From a transfer and a seed to logits per image: of the test images by vendor, and of the target's validation images."""


class Level(StrEnum):
    """What is judged: every image, or a breast by the mean of its images' logits."""

    IMAGE = "image"
    BREAST = "breast"


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """A mean over seeds: its value in each of them, and in each resample."""

    by_seed: Values
    resampled: Values

    @property
    def value(self) -> float:
        return float(self.by_seed.mean())

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.by_seed + other.by_seed, self.resampled + other.resampled)

    def __sub__(self, other: Quantity) -> Quantity:
        return self + other.times(-1)

    def times(self, factor: float) -> Quantity:
        return Quantity(factor * self.by_seed, factor * self.resampled)

    @property
    def judged(self) -> Comparison:
        """Its interval, and the p value of "it is 0"."""
        return over_seeds(self.value, self.resampled, len(self.by_seed))

    def p_above(self, bound: float) -> float:
        """The one-sided p value of "it is not above ``bound``"."""
        return p_above(self.value, self.resampled, len(self.by_seed), bound)


def mean(quantities: Sequence[Quantity]) -> Quantity:
    """The mean of several."""
    total = quantities[0]
    for each in quantities[1:]:
        total = total + each
    return total.times(1 / len(quantities))


@dataclass(frozen=True, eq=False)
class Measures:
    """``tests`` and ``validations``: the labels of each vendor's breasts, for each seed; two images stand in a row for each breast."""

    scores: CellScores
    tests: Mapping[str, Sequence[Labels]]
    validations: Mapping[str, Sequence[Labels]]
    resamples: int

    @property
    def vendors(self) -> tuple[str, ...]:
        return tuple(self.tests)

    @cached_property
    def seeds(self) -> int:
        return len(next(iter(self.tests.values())))

    @cached_property
    def drawn(self) -> Mapping[str, Resamples]:
        """The resamples of each vendor's test set: the same seeds in all of them, and cases of their own."""
        seeds = draw_seeds(self.seeds, resamples=self.resamples)
        return {vendor: Resamples.of(seeds, labels, place) for place, (vendor, labels) in enumerate(self.tests.items())}

    def quantity(self, figure: WeightedFigure, scores: Sequence[Values], vendor: str) -> Quantity:
        """A figure of scores on a vendor's test set, one array of breasts or of images for each seed."""
        labels = [np.repeat(each, len(values) // len(each)) for each, values in zip(self.tests[vendor], scores, strict=True)]
        pairs = zip(scores, labels, strict=True)
        by_seed = [float(figure(values, malignant, np.ones((1, len(values))))[0]) for values, malignant in pairs]
        return Quantity(np.array(by_seed), self.drawn[vendor].figures(figure, scores))

    def test_scores(self, transfer: Transfer, scored: str, level: Level = Level.BREAST) -> list[Values]:
        """The logits of a vendor's test set, by the network after its transfer; one array a seed."""
        return [at(level, self.scores(transfer, seed)[scored]) for seed in range(self.seeds)]

    def validation(self, transfer: Transfer, level: Level = Level.BREAST) -> list[tuple[Values, Labels]]:
        """Scores and labels of the target's validation set in each seed."""
        found = []
        for seed, labels in enumerate(self.validations[transfer.target]):
            scores = at(level, self.scores(transfer, seed)[VALIDATION])
            found.append((scores, np.repeat(labels, len(scores) // len(labels))))
        return found

    def thresholds(self, transfer: Transfer, level: Level = Level.BREAST) -> list[float]:
        """In each seed the threshold that spares 90 % of the target's benign validation cases."""
        return [threshold_at_specificity(*cases, SPECIFICITY) for cases in self.validation(transfer, level)]

    def carried_thresholds(self, source: str, level: Level = Level.BREAST) -> list[float]:
        """The source's own thresholds, which a site gets with the network."""
        return self.thresholds(Transfer(UNADAPTED, source, source), level)

    def carried_maps(self, source: str, level: Level = Level.BREAST) -> list[tuple[float, float]]:
        """In each seed Platt's slope and intercept from the source's validation set, which a site gets with the network."""
        return [platt(*cases) for cases in self.validation(Transfer(UNADAPTED, source, source), level)]

    def test_labels(self, vendor: str, level: Level = Level.BREAST) -> list[Labels]:
        """The labels of a vendor's test set, one array a seed."""
        return [each if level is Level.BREAST else np.repeat(each, 2) for each in self.tests[vendor]]


def at(level: Level, image_scores: NDArray[np.float64]) -> Values:
    """Scores of images, or of breasts."""
    return image_scores if level is Level.IMAGE else per_breast(image_scores, np.arange(len(image_scores)) // 2)


def sensitivity_at_zero(scores: Values, malignant: Labels, weights: NDArray[np.floating]) -> Values:
    """The share of the malignant at or above 0, for each row of ``weights``."""
    return np.asarray((weights * (malignant & (scores >= 0))).sum(axis=1) / (weights * malignant).sum(axis=1))


def specificity_at_zero(scores: Values, malignant: Labels, weights: NDArray[np.floating]) -> Values:
    """The share of the others below 0, for each row of ``weights``."""
    return np.asarray((weights * (~malignant & (scores < 0))).sum(axis=1) / (weights * ~malignant).sum(axis=1))
