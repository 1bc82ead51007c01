"""The scores of exams, and the frozen ones that later ones are held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosremc_node.errors import ReferenceTooSmall

Values = NDArray[np.float64]

SMALLEST_REFERENCE = 300
"""Exams; with fewer, the reference's own error hides any shift that matters. A thousand are better."""


@dataclass(frozen=True, slots=True, eq=False)
class ExamScores:
    """Exams of one scanner key, in the order in which they were taken.

    ``logits`` (n,): the mean of the network's logits over an exam's images, before any calibration, so that a new operating point is no
    drift. ``flagged`` (n,): 1 where the exam was positive, else 0.
    """

    logits: Values
    flagged: Values

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self, part: slice | NDArray[np.intp]) -> ExamScores:
        return ExamScores(self.logits[part], self.flagged[part])


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Exams of a period in which the scanner was known to be well. Raises `ReferenceTooSmall`."""

    exams: ExamScores

    def __post_init__(self) -> None:
        if len(self.exams) < SMALLEST_REFERENCE:
            raise ReferenceTooSmall(exams=len(self.exams), needed=SMALLEST_REFERENCE)
