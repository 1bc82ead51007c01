"""The network: a small pre-activation residual network that judges every cell of an image and lets the worst cells speak for it.

It follows the global branch of GMIC, which DoSReMC (arXiv 2508.15452) adapts: a residual network of version 2, a saliency map, and
an image score from the map's highest cells. Here the fully connected layer judges each cell, so that the map and the score share it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dosremc_node.network.prediction import Network, Prediction

STRIDE = 8
HIGHEST_CELLS = 6


class Block(nn.Module):
    """A residual block of version 2: normalise, rectify, convolve, twice (He et al., arXiv 1603.05027)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = None if stride == 1 and inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, signal: Tensor) -> Tensor:
        active = functional.relu(self.norm1(signal))
        passed = signal if self.shortcut is None else self.shortcut(active)
        residual: Tensor = self.conv2(functional.relu(self.norm2(self.conv1(active))))
        return residual + passed


class SaliencyNetwork(Network):
    """The logit of an image is the mean of its highest cells; the map has a cell for every 8 x 8 pixels."""

    def __init__(self, widths: tuple[int, int, int, int] = (16, 24, 48, 64)) -> None:
        super().__init__()
        stem, first, second, third = widths
        self.stem = nn.Conv2d(1, stem, 5, 2, 2, bias=False)
        self.stages = nn.Sequential(
            Block(stem, first, 2), Block(first, first, 1), Block(first, second, 2), Block(second, second, 1), Block(second, third, 1),
        )  # fmt: skip
        self.norm = nn.BatchNorm2d(third)
        self.fc = nn.Linear(third, 1)

    def forward(self, images: Tensor) -> Prediction:
        features = functional.relu(self.norm(self.stages(self.stem(images))))
        cells = self.fc(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        highest = torch.topk(cells.flatten(1), HIGHEST_CELLS, dim=1)
        judged = features.flatten(2).gather(2, highest.indices[:, None].expand(-1, features.shape[1], -1)).mean(dim=2)
        return Prediction(logits=highest.values.mean(dim=1), saliency=cells, features=judged)
