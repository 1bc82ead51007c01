"""Small networks of every kind, whose banks are like no other's, and images for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dosremc_node.imaging import DEFAULT_SPEC
from dosremc_node.network import (
    GMIC,
    GMIC_RESNET22,
    LIGHT_RESNET22,
    Bank,
    Classifier,
    GMICConfiguration,
    Network,
    ResNetConfiguration,
    SaliencyResNet,
    bank_of,
)
from dosremc_node.network.banks import batch_norms
from dosremc_node.records import InputGeometry, NetworkInput

HEIGHT, WIDTH = 192, 128
SPEC = replace(DEFAULT_SPEC, height=HEIGHT, width=WIDTH)


def thin(configuration: ResNetConfiguration) -> ResNetConfiguration:
    """The same network with a quarter of its features, but eight at least.

    With four channels, torch 2.13 corrupts the heap in the backward pass of a 1 x 1 convolution of stride 2 in channels-last.
    """
    stages = tuple(replace(stage, width=max(8, stage.width // 4)) for stage in configuration.stages)
    return replace(configuration, stem_width=max(8, configuration.stem_width // 4), stages=stages)


class Strangers(nn.Module):
    """A classifier that nobody here made: other names, features of one dimension more, a bias on its convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(1, 6, 5, 4), nn.BatchNorm2d(6), nn.ELU(), nn.Conv2d(6, 5, 3, 2), nn.BatchNorm2d(5))
        self.average = nn.AdaptiveAvgPool2d(1)
        self.judge = nn.Linear(5, 1)

    def forward(self, images: Tensor) -> Tensor:
        judged: Tensor = self.judge(self.average(functional.relu(self.trunk(images))).flatten(1))
        return judged


def small_network(kind: str) -> Network:
    """A network of the kind, with random weights and statistics."""
    torch.manual_seed(3)
    made = {
        "light": lambda: SaliencyResNet(thin(LIGHT_RESNET22)),
        "paper": lambda: SaliencyResNet(thin(GMIC_RESNET22)),
        "gmic": lambda: GMIC(GMICConfiguration(thin(GMIC_RESNET22), crops=3, crop=64, local_width=4, attention=8)),
        "classifier": lambda: Classifier(Strangers(), pool="average", head="judge"),
    }[kind]()
    with torch.no_grad():
        for _, module in batch_norms(made):
            for name in ("weight", "bias", "running_mean", "running_var"):
                tensor = getattr(module, name)
                tensor.copy_(torch.rand_like(tensor) + (0.5 if name in {"weight", "running_var"} else -0.5))
    return made.eval()


KINDS = ("light", "paper", "gmic", "classifier")


def another_bank(network: nn.Module, seed: int = 5) -> Bank:
    """A bank that fits the network and is not its own."""
    random = np.random.default_rng(seed)
    return {name: (values + random.uniform(0.05, 0.3, values.shape)).astype(np.float32) for name, values in bank_of(network).items()}


def network_input(seed: int, height: int = HEIGHT, width: int = WIDTH) -> NetworkInput:
    """Noise in the shape of a network input."""
    pixels = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    return NetworkInput(pixels, np.ones((height, width), np.bool_), InputGeometry(1, 0, 0, 0, 1, 0), height, width)


def image_of(shown: NetworkInput) -> Tensor:
    """The input as torch takes it, (1, 1, height, width)."""
    return torch.from_numpy(shown.pixels)[None, None]


def images(count: int, seed: int = 1) -> Tensor:
    """Noise, (count, 1, height, width)."""
    return torch.randn(count, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
