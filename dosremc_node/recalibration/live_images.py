"""The network inputs of a cohort, as networks take images: read when a batch is asked for, because a thousand exams do not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dosremc_node.errors import ArtifactDamaged, ArtifactMissing, NotAMammogram, NotDicom, UndecodableImage
from dosremc_node.evaluation import Values
from dosremc_node.network.prediction import Network
from dosremc_node.network.scoring import logits
from dosremc_node.recalibration.cohort import Cohort
from dosremc_node.records import Laterality

Read = Callable[[str, Laterality], NDArray[np.float32]]
"""From an image's digest and side to its network input (height, width), kept or made again."""

LOST = (ArtifactDamaged, ArtifactMissing, NotAMammogram, NotDicom, UndecodableImage)
"""What says that an image cannot be had any more: retention removed it, or it is damaged."""


class LiveImages:
    """Images of a cohort, by their places (see `network.batches.Images`)."""

    def __init__(self, images: Sequence[tuple[str, Laterality]], read: Read) -> None:
        self._images = images
        self._read = read

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, chosen: Sequence[int] | NDArray[np.intp]) -> torch.Tensor:
        """The images of these places, float32 (n, 1, height, width)."""
        return torch.from_numpy(np.stack([self._read(*self._images[int(place)]) for place in chosen]).astype(np.float32))[:, None]

    def at(self, places: NDArray[np.intp]) -> LiveImages:
        """The images of these places, which may repeat."""
        return LiveImages([self._images[place] for place in places], self._read)


def images_of(cohort: Cohort, read: Read) -> LiveImages:
    """Image i of the cohort's scores is image i."""
    return LiveImages(cohort.images, read)


def with_images(cohort: Cohort, read: Read) -> Cohort:
    """The exams of which every image can still be had. Each is read once, and so made again where it was dropped."""
    there = [all(_is_there(image.sha256, image.laterality, read) for image in exam.images) for exam in cohort.exams]
    return cohort.where(np.array(there, np.bool_))


def rescored(cohort: Cohort, network: Network, read: Read) -> Cohort:
    """The exams with the logits of this network, with the bank that is in it."""
    found: Values = logits(network, images_of(cohort, read)) if len(cohort) else np.zeros(0)
    return cohort.with_logits(found)


def _is_there(sha256: str, side: Laterality, read: Read) -> bool:
    try:
        read(sha256, side)
    except LOST:
        return False
    return True
