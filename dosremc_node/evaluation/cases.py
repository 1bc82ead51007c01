"""Cases: what is measured on, one score and one label each, and how images become breasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosremc_node.errors import NotMeasurable

Values = NDArray[np.float64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the limits of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def clipped(self) -> Estimate:
        """The same with limits that a share can have."""
        return Estimate(self.value, max(self.low, 0.0), min(self.high, 1.0))


def per_breast(image_values: NDArray[np.floating] | Labels, breasts: NDArray[np.intp]) -> Values:
    """The mean over each breast's images, in the order of the breasts' numbers (arXiv 2508.15452 judges the mean of CC and MLO).

    ``breasts`` (n,) numbers the breast of each image from 0 on, none left out. The mean of an image's label is the breast's label.
    """
    return np.asarray(np.bincount(breasts, image_values) / np.bincount(breasts))


def check(scores: Values, malignant: Labels, of_each_kind: int = 1) -> None:
    """Raise `NotMeasurable` unless there is a finite score for every label, and so many cases of each kind."""
    positives = int(malignant.sum())
    found = f"{positives} malignant and {len(malignant) - positives} other cases"
    if len(scores) != len(malignant):
        raise NotMeasurable(found=f"{len(scores)} scores for {len(malignant)} labels", needed="one score for each")
    if not of_each_kind <= positives <= len(malignant) - of_each_kind:
        raise NotMeasurable(found=found, needed=f"at least {of_each_kind} of each kind")
    if unknown := int((~np.isfinite(scores)).sum()):
        raise NotMeasurable(found=f"{found}, {unknown} of them with a score that is no number", needed="finite scores")
