"""The generator that needs labels: intercept and slope, shrunk to the map in force, and only where something has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2

from dosremc_node.errors import TooFewEvents
from dosremc_node.evaluation import Values, calibrated_logits
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import OperatingPoint

SMALLEST_EVENTS = 10
SLOPE_EVENTS = 100
"""From so many events on a slope may move too: below, an estimated one harms more often than it helps."""
SPREAD_OF_INTERCEPTS = 1.0
SPREAD_OF_SLOPES = 0.25
"""Standard deviations of what a scanner's change does to intercept and slope, in logits: what an estimate is shrunk by."""
NEWTON_STEPS = 50


@dataclass(frozen=True, slots=True)
class Calibration:
    """The proposed point, and how surely something has changed: the p value of "the map in force fits"."""

    point: OperatingPoint
    p: float
    events: int
    with_slope: bool


def calibrate(point: OperatingPoint, scores: Scores) -> Calibration:
    """Refit ``point`` on images with labels that may be believed. Raises `TooFewEvents`."""
    labelled = scores.labelled()
    if labelled.events < SMALLEST_EVENTS:
        raise TooFewEvents(events=labelled.events, needed=SMALLEST_EVENTS)
    with_slope = labelled.events >= SLOPE_EVENTS
    now = calibrated_logits(labelled.logits, point)
    design = np.stack([np.ones_like(now), now], axis=1)[:, : 2 if with_slope else 1]
    change = _posterior_mode(design, now, labelled)
    slope, intercept = (1 + change[1] if with_slope else 1.0), float(change[0])
    moved = replace(point, slope=float(slope * point.slope), intercept=float(slope * point.intercept + intercept))
    return Calibration(moved, _nothing_has_changed(design, now, labelled), labelled.events, with_slope)


def _posterior_mode(design: Values, now: Values, scores: Scores) -> Values:
    """What is to be added to the calibrated logits, as weights of ``design``: maximum likelihood, drawn to 0 by a normal prior."""
    precision = np.diag([SPREAD_OF_INTERCEPTS**-2, SPREAD_OF_SLOPES**-2][: design.shape[1]])
    change = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        expected = 0.5 * (1 + np.tanh((now + design @ change) / 2))
        weight = scores.weights * expected * (1 - expected)
        gradient = design.T @ (scores.weights * (scores.malignant - expected)) - precision @ change
        step = np.linalg.solve((design * weight[:, None]).T @ design + precision, gradient)
        change = change + step / max(1.0, float(np.abs(step).max()))  # never more than one logit at once, so a far start cannot run away
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(change)


def _nothing_has_changed(design: Values, now: Values, scores: Scores) -> float:
    """The p value of the score test, with the exam as the unit: its images' labels hang together (a robust score test, White 1982)."""
    residuals = design * (scores.weights * (scores.malignant - 0.5 * (1 + np.tanh(now / 2))))[:, None]
    by_exam = np.stack([np.bincount(scores.exams, column) for column in residuals.T], axis=1)
    total = by_exam.sum(axis=0)
    statistic = float(total @ np.linalg.solve(by_exam.T @ by_exam, total))
    return float(chi2.sf(statistic, design.shape[1]))
