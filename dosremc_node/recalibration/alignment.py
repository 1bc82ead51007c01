"""The generator that needs no label: scores of a scanner are read as the reference's of the same rank (Roschewitz et al., 2023).

It assumes that the women are alike and that the ranking is intact. Whoever uses it shows that the case mix did not move, and a person
approves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dosremc_node.errors import TooFewExams
from dosremc_node.evaluation import Values
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import OperatingPoint

SMALLEST_REFERENCE = 1000
SMALLEST_SAMPLE = 250
USUAL_SAMPLE = 500
LEVELS = np.concatenate([[0.005, 0.01, 0.02], np.linspace(0.05, 0.95, 19), [0.98, 0.99, 0.995]])
"""The shares of images at which the scores are matched; beyond the outer ones the outer shift holds."""


def align(point: OperatingPoint, reference: Scores, live: Scores) -> OperatingPoint:
    """``point`` with an alignment that reads the logits of ``live`` as those of ``reference``, whose own alignment in ``point`` is kept.

    Raises `TooFewExams`.
    """
    _check("reference", reference, SMALLEST_REFERENCE)
    _check("scanner", live, SMALLEST_SAMPLE)
    return _matched(point, reference, live)


def realign(point: OperatingPoint, before: Scores, after: Scores) -> OperatingPoint:
    """``point`` with an alignment that reads what another bank says of the very same exams as what the bank of ``point`` says.

    So as many are flagged as before. That they are the same exams makes fewer enough than a reference needs. Raises `TooFewExams`.
    """
    _check("part to fit", after, SMALLEST_SAMPLE)
    return _matched(point, before, after)


def _check(what: str, scores: Scores, needed: int) -> None:
    if len(scores) < needed:
        raise TooFewExams(what=what, exams=len(scores), needed=needed)


def _matched(point: OperatingPoint, reference: Scores, live: Scores) -> OperatingPoint:
    meant = np.quantile(np.array([point.aligned(logit) for logit in reference.logits]), LEVELS)
    found = np.quantile(live.logits, LEVELS)
    return replace(point, alignment=_points(found, meant))


def _points(found: Values, meant: Values) -> tuple[tuple[float, float], ...]:
    """Pairs that rise strictly on both sides; where many images have one logit, its middle."""
    pairs: list[tuple[float, float]] = []
    for value in np.unique(found):
        same = float(np.median(meant[found == value]))
        if not pairs or same > pairs[-1][1]:
            pairs.append((float(value), same))
    return tuple(pairs)
