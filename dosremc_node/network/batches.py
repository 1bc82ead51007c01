"""Which images go through a network together, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BATCH = 32

Chosen = NDArray[np.intp]


class Images(Protocol):
    """Images without labels: `Examples` in memory, or any index of files that can do these two things."""

    def __len__(self) -> int: ...

    def batch(self, chosen: Sequence[int] | Chosen) -> Tensor:
        """The images of these indices, float32 (n, 1, height, width)."""
        ...


class LabelledImages(Images, Protocol):
    """Images and what pathology says of each."""

    @property
    def malignant(self) -> NDArray[np.bool_]:
        """Bool (n,)."""
        ...


def in_order(count: int, size: int = BATCH) -> Iterator[Chosen]:
    """Batches of ``size`` in the order of the images; the last may be smaller."""
    return (np.arange(start, min(start + size, count)) for start in range(0, count, size))


def shuffled(count: int, size: int, random: np.random.Generator) -> list[Chosen]:
    """Every image once, in batches of at most ``size`` that are nearly equal, so that no image is left alone with batch norm."""
    return np.array_split(random.permutation(count), -(-count // size))


def to_network(network: nn.Module, images: Tensor) -> Tensor:
    """The images where the network is, channels last: the layout in which convolutions are fastest."""
    return images.to(device=device_of(network), memory_format=torch.channels_last)


def channels_last(network: nn.Module) -> None:
    """Lay the network's filters out channels last, in place. Everything that trains or scores does, so that bits can be compared."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def device_of(network: nn.Module) -> torch.device:
    """Where the network's parameters are."""
    return next(network.parameters()).device
