"""What became of a scanner's scores, where labels have matured. Beside the rest of the room: it needs scipy, which watching does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from dosremc_node.drift.period import breasts
from dosremc_node.drift.reference import Values
from dosremc_node.evaluation import Estimate, Labels, Realised, realised, share
from dosremc_node.ledger.exams import AssessedExam
from dosremc_node.ledger.labels import Label
from dosremc_node.records import LabelState, Laterality, OperatingPoint, StudyId

KNOWN = frozenset({LabelState.POSITIVE, LabelState.CONFIRMED_NEGATIVE})


@dataclass(frozen=True, slots=True, eq=False)
class KnownBreasts:
    """Breasts whose truth is known and which stand for others or themselves (n,): calibrated logit, label, weight."""

    logits: Values
    malignant: Labels
    weights: Values
    first_taken_on: date | None
    last_taken_on: date | None


def known_breasts(exams: Sequence[AssessedExam], labels: Mapping[tuple[StudyId, Laterality], Label], point: OperatingPoint) -> KnownBreasts:
    """Pending and unknown are no label; nor is what stands for nobody yet (weight 0)."""
    sides, probabilities, of_exam = breasts(exams, point)
    found = [labels.get((exams[number].study_id, side)) for side, number in zip(sides, of_exam, strict=True)]
    known = np.array([label is not None and label.state in KNOWN and label.weight > 0 for label in found], bool)
    chosen = [label for label, is_known in zip(found, known, strict=True) if label and is_known]
    likely = np.clip(probabilities[known], 1e-12, 1 - 1e-12)
    days = [exams[number].taken_on for number in of_exam[known]]
    return KnownBreasts(
        logits=np.log(likely / (1 - likely)),
        malignant=np.array([label.state is LabelState.POSITIVE for label in chosen], bool),
        weights=np.array([label.weight for label in chosen], np.float64),
        first_taken_on=min(days, default=None),
        last_taken_on=max(days, default=None),
    )


def performance_of(known: KnownBreasts, point: OperatingPoint) -> Realised:
    """Raises `NotMeasurable` where too few of either kind are known."""
    return realised(known.logits, known.malignant, known.weights, point.threshold)


def recall(exams: Sequence[AssessedExam]) -> Estimate:
    """The share of exams that were flagged, as they were judged when they were taken."""
    return share(sum(exam.positive for exam in exams), len(exams))
