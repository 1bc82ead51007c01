"""A network and images so small that adapting takes a blink: bright spots are malignant, and a vendor is a contrast and an offset."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dosremc_node.network.examples import Examples
from dosremc_node.network.prediction import Network, Prediction
from dosremc_node.network.training import Plan

HEIGHT, WIDTH = 32, 16
QUICK = Plan(epochs=2, rate=1e-2, batch=16)


class ToyNetwork(Network):
    """Two convolutions, three batch norms, and a fully connected layer that judges every cell of 4 x 4 pixels."""

    def __init__(self, seed: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv1 = nn.Conv2d(1, 6, 3, 2, 1, bias=False)
            self.conv2 = nn.Conv2d(6, 8, 3, 2, 1, bias=False)
            self.norm1, self.norm2, self.norm3 = nn.BatchNorm2d(6), nn.BatchNorm2d(8), nn.BatchNorm1d(8)
            self.fc = nn.Linear(8, 1)

    def forward(self, images: Tensor) -> Prediction:
        signal = functional.relu(self.norm1(self.conv1(images)))
        features = functional.relu(self.norm2(self.conv2(signal)))
        cells = self.fc(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        judged = self.norm3(features.amax(dim=(2, 3)))
        return Prediction(logits=functional.linear(judged, self.fc.weight, self.fc.bias)[:, 0], saliency=cells, features=judged)


def toy_examples(
    seed: int, count: int = 48, *, contrast: float = 1.0, offset: float = 0.0, malignant: float = 0.5, spot: float = 4.0
) -> Examples:
    """Noise, with a bright spot in the first ``malignant`` share of the images, as a vendor of this contrast and offset shows it."""
    random = np.random.default_rng(seed)
    pixels = random.normal(size=(count, HEIGHT, WIDTH)).astype(np.float32)
    lesions = np.full((count, 3), np.nan, np.float32)
    for index in range(round(count * malignant)):
        column, row = random.integers(4, WIDTH - 4), random.integers(4, HEIGHT - 4)
        pixels[index, row - 2 : row + 2, column - 2 : column + 2] += spot
        lesions[index] = (column, row, 2)
    return Examples((contrast * pixels + offset).astype(np.float16), ~np.isnan(lesions[:, 0]), lesions)
