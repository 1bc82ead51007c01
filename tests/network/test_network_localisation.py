"""What counts as looking at the lesion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dosremc_node.network.examples import Examples
from dosremc_node.network.localisation import on_the_lesion
from dosremc_node.network.prediction import Network, Prediction

CELL, HEIGHT, WIDTH = 8, 64, 32


class BrightestPixel(Network):
    """Its map holds the highest pixel of each cell."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, images: Tensor) -> Prediction:
        cells = torch.nn.functional.max_pool2d(images, CELL)
        return Prediction(logits=cells.flatten(1).amax(dim=1), saliency=cells, features=cells.flatten(1))


@pytest.mark.parametrize(
    ("centre", "radius", "hit"),
    [
        ((20.0, 44.0), 1.0, True),  # within the cell
        ((20.0, 52.0), 4.5, True),  # below it, and large enough to reach it
        ((20.0, 52.0), 3.5, False),
        ((28.0, 44.0), 4.5, True),  # beside it
        ((27.0, 51.0), 4.0, False),  # at the corner: 3 to the side and 3 down are more than 4
        ((44.0, 20.0), 1.0, False),  # row and column exchanged
    ],
)
def test_the_highest_cell_touches_the_lesion(centre: tuple[float, float], radius: float, hit: bool) -> None:
    """It counts if any point of the cell lies in the lesion's disc; images without a lesion do not count at all."""
    pixels = np.zeros((3, HEIGHT, WIDTH), np.float16)
    pixels[:, 42, 18] = 1  # in the cell from column 16 and row 40
    lesions = np.array([[np.nan] * 3, [*centre, radius], [np.nan] * 3], np.float32)
    examples = Examples(pixels, ~np.isnan(lesions[:, 0]), lesions)
    assert on_the_lesion(BrightestPixel(), examples, batch=2).tolist() == [hit]
