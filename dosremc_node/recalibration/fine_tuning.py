"""The generator that needs images and outcomes: batch norm and fully connected layers learn, the filters never (arXiv 2508.15452).

The statistics are measured on all exams of the interval, labelled or not, and then stand still: labelled ones are not screening's. The
rarer class is shown as often as the other; what that does to the scores, the operating point sets right again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dosremc_node.errors import TooFewEvents
from dosremc_node.evaluation import pr_auc
from dosremc_node.network.methods.fine_tuning import train_bank
from dosremc_node.network.prediction import Network
from dosremc_node.network.scoring import logits
from dosremc_node.network.training import Plan, Watch
from dosremc_node.recalibration.change_plan import FineTuningPlan
from dosremc_node.recalibration.cohort import Cohort
from dosremc_node.recalibration.live_images import Read, images_of

PATIENCE = 3
"""Epochs without a better validation figure after which the training ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a bank learns from: ``learning`` and ``validation`` are exams with believed labels, no woman in both; ``interval`` are all exams."""

    learning: Cohort
    validation: Cohort
    interval: Cohort


def lesson_of(fitted: Cohort, plan: FineTuningPlan, *, seed: int = 0) -> Lesson:
    """Split what may be fitted by woman, as many events on both sides as they are due. Raises `TooFewEvents`."""
    labelled = fitted.labelled()
    if labelled.scores.events < plan.fitted_events:
        raise TooFewEvents(events=labelled.scores.events, needed=plan.fitted_events)
    validates = np.isin(labelled.women, _drawn(labelled, plan.validation_share, np.random.default_rng(seed)))
    return Lesson(labelled.where(~validates), labelled.where(validates), fitted)


def fine_tune(
    network: Network,
    lesson: Lesson,
    plan: FineTuningPlan,
    read: Read,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Let the network's bank learn, in place; the epoch with the best area under the precision and recall curve of the validation women stays.

    An interrupted training goes on from ``checkpoint``. Raises `FiltersMoved`, `LossNotFinite`.
    """
    learning = images_of(lesson.learning, read)
    places = _balanced(lesson.learning)
    watch = Watch(progress, validate=_figure_on(lesson.validation, read), patience=PATIENCE, checkpoint=checkpoint)
    train_bank(
        network,
        learning.at(places),
        lesson.learning.scores.malignant[places],
        Plan(plan.epochs, plan.rate),
        seed=seed,
        watch=watch,
        measured_on=images_of(lesson.interval, read),
    )


def _drawn(labelled: Cohort, share: float, random: np.random.Generator) -> NDArray[np.intp]:
    """So large a part of the women with a malignancy, and of the others."""
    events = np.unique(labelled.scores.exams[labelled.scores.malignant & labelled.scores.known])
    with_cancer = np.unique(labelled.women[events])
    kinds = (with_cancer, np.setdiff1d(labelled.women, with_cancer))
    return np.concatenate([random.choice(kind, max(1, round(share * len(kind))), replace=False) for kind in kinds if len(kind)])


def _balanced(learning: Cohort) -> NDArray[np.intp]:
    """Places of images with a believed label, the rarer class repeated until it is as frequent as the other."""
    known = learning.scores.known
    classes = [np.flatnonzero(known & (learning.scores.malignant == malignant)) for malignant in (False, True)]
    most = max(map(len, classes))
    return np.concatenate([np.resize(each, most) for each in classes])


def _figure_on(validation: Cohort, read: Read) -> Callable[[nn.Module], float]:
    known = np.flatnonzero(validation.scores.known)
    images, malignant = images_of(validation, read).at(known), validation.scores.malignant[known]

    def figure(network: nn.Module) -> float:
        if not isinstance(network, Network):
            raise TypeError("only a network can be validated")
        return pr_auc(logits(network, images), malignant)

    return figure
