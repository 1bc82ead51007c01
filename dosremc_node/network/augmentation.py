"""How a training image may be changed: moved, which no label minds, or given another vendor's look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

LARGEST_SHIFT = 1 / 32
"""Of the image's height."""


@dataclass(frozen=True, slots=True)
class Move:
    """A batch up or down by ``shift`` pixels, and upside down or not; the chest wall stays where it is."""

    shift: int
    upside_down: bool

    @classmethod
    def at_random(cls, height: int, random: np.random.Generator) -> Move:
        largest = int(height * LARGEST_SHIFT)
        return cls(int(random.integers(-largest, largest + 1)), bool(random.random() < 0.5))

    def images(self, images: Tensor) -> Tensor:
        moved = torch.roll(images, self.shift, dims=2)
        return moved.flip(2) if self.upside_down else moved

    def lesions(self, lesions: Tensor, height: int) -> Tensor:
        """Where the lesions (n, 3) are then, in images of this height."""
        moved = lesions.clone()
        moved[:, 1] += self.shift
        if self.upside_down:
            moved[:, 1] = height - moved[:, 1]
        return moved


def moved(images: Tensor, random: np.random.Generator) -> Tensor:
    """A batch moved at random."""
    return Move.at_random(images.shape[2], random).images(images)


def restyled(images: Tensor, random: np.random.Generator) -> Tensor:
    """Each image as another vendor might show it: contrast, brightness, noise, and softer or sharper, all mild.

    What domain shift does to mammograms, without anatomy being touched; for methods that learn from augmentation what shift may move.
    """
    contrast, brightness, softness, noise = (
        torch.from_numpy(random.uniform(low, high, (len(images), 1, 1, 1)).astype(np.float32)).to(images.device)
        for low, high in ((0.7, 1.4), (-0.3, 0.3), (-0.6, 0.6), (0.0, 0.2))
    )
    soft = functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    grains = torch.from_numpy(random.standard_normal(images.shape, dtype=np.float32)).to(images.device)
    return contrast * (images + softness * (soft - images)) + brightness + noise * grains
