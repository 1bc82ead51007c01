"""The residual network that looks at crops: ResNet-18 of version 1 (He et al., arXiv 1512.03385), without its fully connected layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

BLOCKS_PER_STAGE = 2
GROWTH = (1, 2, 4, 8)


class BasicBlock(nn.Module):
    """Convolve, normalise, rectify, twice; the last rectification comes after the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, signal: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(signal)))))
        return functional.relu(residual + self.shortcut(signal))


class ResNet18(nn.Module):
    """From images (n, channels, height, width) to a vector each, (n, 8 * width): the mean of what the last stage sees."""

    def __init__(self, channels: int = 3, width: int = 64) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.stages = nn.Sequential(*_blocks(width))

    def forward(self, images: Tensor) -> Tensor:
        signal = functional.max_pool2d(functional.relu(self.norm(self.conv(images))), 3, 2, 1)
        features: Tensor = self.stages(signal).mean(dim=(2, 3))
        return features


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _blocks(width: int) -> list[BasicBlock]:
    blocks, inputs = [], width
    for stage, growth in enumerate(GROWTH):
        for number in range(BLOCKS_PER_STAGE):
            blocks.append(BasicBlock(inputs, width * growth, 2 if stage and number == 0 else 1))
            inputs = width * growth
    return blocks
