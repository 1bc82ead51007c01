"""What is told of a scanner is told of a period: its exams' scores, the women's ages, the views, and the traces of sampled images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from dosremc_node.drift.moments import Traces
from dosremc_node.drift.reference import ExamScores, Values
from dosremc_node.ledger.exams import AssessedExam
from dosremc_node.records import Laterality, OperatingPoint, View

NO_TRACES = Traces((), np.empty((0, 0, 2)))


@dataclass(frozen=True, slots=True, eq=False)
class Period:
    """Exams of one scanner key under one bank, in the order in which they were taken.

    ``ages`` (n,) in years, NaN where unknown. ``views`` and ``left_out`` count images with a score by view, and those without by reason.
    """

    scores: ExamScores
    ages: Values
    views: Mapping[str, int]
    left_out: Mapping[str, int] = field(default_factory=dict)
    traces: Traces = NO_TRACES

    def __len__(self) -> int:
        return len(self.scores)

    def with_traces(self, traces: Traces) -> Period:
        return replace(self, traces=traces)


def period(exams: Sequence[AssessedExam], point: OperatingPoint) -> Period:
    """The exams as ``point`` judges them, whatever was in force when they were taken: so that a new threshold is no drift."""
    _, probabilities, of_exam = breasts(exams, point)
    flagged = np.bincount(of_exam, probabilities >= point.threshold, minlength=len(exams)) > 0
    return Period(
        ExamScores(np.array([np.mean([image.logit for image in exam.images]) for exam in exams], np.float64), flagged.astype(np.float64)),
        np.array([np.nan if exam.age is None else exam.age for exam in exams], np.float64),
        Counter(image.view.value for exam in exams for image in exam.images),
        Counter(reason.value for exam in exams for reason in exam.not_assessed),
    )


def breasts(exams: Sequence[AssessedExam], point: OperatingPoint) -> tuple[Sequence[Laterality], Values, NDArray[np.intp]]:
    """Side, probability and number of the exam of every breast: the mean of its views, each the mean of its images (the release's rule)."""
    views: dict[tuple[int, Laterality, View], list[float]] = {}
    for number, exam in enumerate(exams):
        for image in exam.images:
            views.setdefault((number, image.laterality, image.view), []).append(point.probability(image.logit))
    found: dict[tuple[int, Laterality], list[float]] = {}
    for (number, side, _), probabilities in views.items():
        found.setdefault((number, side), []).append(fmean(probabilities))
    means = np.array([fmean(each) for each in found.values()], np.float64)
    return [side for _, side in found], means, np.array([number for number, _ in found], np.intp)
