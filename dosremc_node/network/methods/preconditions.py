"""What must hold before a method computes anything, and which error says that it does not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosremc_node.errors import BatchOfOne, LabelsDoNotFit, LabelsMissing, NoBatchNorm, OneClassOnly, TooFewImages
from dosremc_node.network.banks import batch_norms
from dosremc_node.network.batches import LabelledImages
from dosremc_node.network.methods.interface import Task
from dosremc_node.records import Domain

FEWEST_FOR_STATISTICS = 16
"""Images from which a domain's statistics may be taken: below, a single odd breast moves them."""
FEWEST_FOR_TRAINING = 4


def target_labels(task: Task, method: str) -> NDArray[np.bool_]:
    """The labels of the target's images; raises `LabelsMissing`, `LabelsDoNotFit`, `OneClassOnly` and `TooFewImages`."""
    if task.malignant is None:
        raise LabelsMissing(method=method, domain=task.target_domain)
    check_trainable(task.malignant, len(task.target), task.target_domain, method)
    return task.malignant


def check_source(task: Task, method: str) -> None:
    """As `target_labels`, of the source's images and labels."""
    source: LabelledImages = task.source
    check_trainable(source.malignant, len(source), task.source_domain, method)


def check_trainable(malignant: NDArray[np.bool_], images: int, domain: Domain, method: str) -> None:
    """There is a label for each image, there are enough of them, and of both classes."""
    if len(malignant) != images:
        raise LabelsDoNotFit(labels=len(malignant), images=images, domain=domain)
    if images < FEWEST_FOR_TRAINING:
        raise TooFewImages(method=method, domain=domain, needed=FEWEST_FOR_TRAINING, images=images)
    if malignant.all() or not malignant.any():
        raise OneClassOnly(method=method, domain=domain, images=images, found="malignant" if malignant.all() else "benign")


def check_statistics(task: Task, method: str) -> None:
    """The target has enough images for statistics, and the network a place for them; raises `TooFewImages` and `NoBatchNorm`."""
    check_batch_norm(task)
    if len(task.target) < FEWEST_FOR_STATISTICS:
        raise TooFewImages(method=method, domain=task.target_domain, needed=FEWEST_FOR_STATISTICS, images=len(task.target))


def check_batch_norm(task: Task) -> None:
    """The network has batch norm; raises `NoBatchNorm`."""
    if not any(batch_norms(task.network)):
        raise NoBatchNorm(network=type(task.network).__name__)


def check_batch(images: int, method: str) -> None:
    """A batch by whose statistics its images are to be normalised; raises `BatchOfOne`."""
    if images < 2:
        raise BatchOfOne(images=images, method=method)
