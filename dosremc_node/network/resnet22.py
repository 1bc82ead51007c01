"""The saliency ResNet-22: a pre-activation residual network that judges every cell of an image, and lets the worst cells speak for it.

It is the global half of GMIC (Shen et al., arXiv 2002.07613), the network that DoSReMC (arXiv 2508.15452) adapts, written from those
descriptions: a residual network of version 2 (He et al., arXiv 1603.05027), a map of the image, and a score from its highest cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional

from dosremc_node.network.prediction import Network, Prediction


class Head(StrEnum):
    """What judges the cells, and how the highest of them become a score."""

    LINEAR = "linear"
    """A fully connected layer that belongs to the bank; the image's logit is the mean of the cells' logits, so that the layer judges the
    mean of those cells' features."""

    CONVOLUTION = "convolution"
    """GMIC's: a 1 x 1 convolution without bias, a filter that no bank replaces; the image's probability is the mean of the cells'."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of one width; the first of them has the stride."""

    width: int
    stride: int
    blocks: int = 2


@dataclass(frozen=True, slots=True)
class ResNetConfiguration:
    """How a saliency network is built. ``highest_share`` is the share of a map's cells that the score is made of, and at least one is.

    ``outputs`` judgements of each cell are made, and the last is malignancy: GMIC has two, benign and malignant.
    """

    stem_width: int
    stem_kernel: int
    stem_stride: int
    stem_pool: bool
    """Whether the stem ends with GMIC's maximum over 3 x 3 pixels, stride 2, without padding."""
    stages: tuple[Stage, ...]
    head: Head
    highest_share: float
    outputs: int = 1

    @property
    def layers(self) -> int:
        """Convolutions and fully connected layers on the longest way: what the network is named after."""
        return 2 + 2 * sum(stage.blocks for stage in self.stages)

    @property
    def width(self) -> int:
        """Features of a cell."""
        return self.stages[-1].width


LIGHT_RESNET22 = ResNetConfiguration(
    stem_width=16, stem_kernel=5, stem_stride=2, stem_pool=False,
    stages=(Stage(16, 2), Stage(24, 2), Stage(32, 1), Stage(48, 1), Stage(64, 1)),
    head=Head.LINEAR, highest_share=0.012,
)  # fmt: skip
"""For small images, 256 x 128: a cell for every 8 x 8 pixels."""

GMIC_RESNET22 = ResNetConfiguration(
    stem_width=16, stem_kernel=7, stem_stride=2, stem_pool=True,
    stages=(Stage(16, 1), Stage(32, 2), Stage(64, 2), Stage(128, 2), Stage(256, 2)),
    head=Head.CONVOLUTION, highest_share=0.02, outputs=2,
)  # fmt: skip
"""GMIC's and DoSReMC's: a map of 46 x 30 cells for 2944 x 1920 pixels."""


class Block(nn.Module):
    """A residual block of version 2: normalise, rectify, convolve, twice. ``projected`` sends the way around through a convolution too."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, projected: bool) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if projected else None

    def forward(self, signal: Tensor) -> Tensor:
        active = functional.relu(self.norm1(signal))
        around = signal if self.shortcut is None else self.shortcut(active)
        residual: Tensor = self.conv2(functional.relu(self.norm2(self.conv1(active))))
        return residual + around


class SaliencyResNet(Network):
    """The saliency network of a configuration: the light ResNet-22 unless another one is given."""

    def __init__(self, configuration: ResNetConfiguration = LIGHT_RESNET22) -> None:
        super().__init__()
        self.configuration = configuration
        kernel, width = configuration.stem_kernel, configuration.stem_width
        self.stem = nn.Conv2d(1, width, kernel, configuration.stem_stride, kernel // 2, bias=False)
        self.stages = nn.Sequential(*_blocks(configuration))
        self.norm = nn.BatchNorm2d(configuration.width)
        self.fc = _judge(configuration)

    def forward(self, images: Tensor) -> Prediction:
        features = self.features(images)
        malignant = self.cells(features)[:, -1:]
        highest = torch.topk(malignant.flatten(1), self._count(malignant), dim=1)
        judged = features.flatten(2).gather(2, highest.indices[:, None].expand(-1, features.shape[1], -1)).mean(dim=2)
        return Prediction(logits=self._pooled(highest.values), saliency=malignant, features=judged)

    def features(self, images: Tensor) -> Tensor:
        """What there is to see in each cell, (n, width, h, w), from images (n, 1, height, width)."""
        signal = self.stem(images)
        if self.configuration.stem_pool:
            signal = functional.max_pool2d(signal, 3, 2)
        active: Tensor = functional.relu(self.norm(self.stages(signal)))
        return active

    def cells(self, features: Tensor) -> Tensor:
        """The logits of every cell, (n, outputs, h, w), malignancy last."""
        cells: Tensor = self.fc(features) if isinstance(self.fc, nn.Conv2d) else self.fc(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return cells

    def score(self, malignant: Tensor) -> Tensor:
        """The logits (n,) of images, from their cells' (n, 1, h, w)."""
        return self._pooled(torch.topk(malignant.flatten(1), self._count(malignant), dim=1).values)

    def _count(self, cells: Tensor) -> int:
        return max(1, round(int(cells.shape[2]) * int(cells.shape[3]) * self.configuration.highest_share))

    def _pooled(self, highest: Tensor) -> Tensor:
        if self.configuration.head is Head.LINEAR:
            return highest.mean(dim=1)
        # The logit of the mean of k probabilities: without leaving logarithms, where a probability of 1 - 1e-9 would be 1.
        return (-functional.softplus(-highest)).logsumexp(dim=1) - (-functional.softplus(highest)).logsumexp(dim=1)


def _judge(configuration: ResNetConfiguration) -> nn.Linear | nn.Conv2d:
    """The fully connected layer of every cell, which GMIC writes as a convolution, so that it counts among the filters."""
    if configuration.head is Head.CONVOLUTION:
        return nn.Conv2d(configuration.width, configuration.outputs, 1, bias=False)
    return nn.Linear(configuration.width, configuration.outputs)


def _blocks(configuration: ResNetConfiguration) -> list[Block]:
    """The blocks of all stages in a row. The first of each stage is projected, also where GMIC's first stage changes nothing."""
    blocks, inputs = [], configuration.stem_width
    for stage in configuration.stages:
        for number in range(stage.blocks):
            blocks.append(Block(inputs, stage.width, stage.stride if number == 0 else 1, projected=number == 0))
            inputs = stage.width
    return blocks
