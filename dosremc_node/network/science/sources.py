"""The networks that everything starts from: one for each vendor and seed, trained on that vendor alone, with the lesions' places."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from dosremc_node.network.cache import code_digest, read_arrays, recipe_digest, write_arrays
from dosremc_node.network.prediction import Network
from dosremc_node.network.resnet22 import SaliencyResNet
from dosremc_node.network.science.cohorts import Cohort, Split, chunks, images_of
from dosremc_node.network.source_training import train_filters


@dataclass(frozen=True, slots=True)
class Source:
    """A training on one cohort; its files lie below ``cache``."""

    cache: Path
    cohort: Cohort

    @property
    def images(self) -> Path:
        """Where the images are kept."""
        return self.cache / "images"

    @property
    def digest(self) -> str:
        """Of everything that decides on the network's bits."""
        seen = [chunk.path.name for chunk in chunks(self.images, self.cohort, Split.TRAINING)]
        preset = self.cohort.preset
        return recipe_digest(seen, preset.network, preset.source_epochs, self.cohort.seed, training_code())

    @property
    def path(self) -> Path:
        return self.cache / "networks" / f"{self.digest}.npz"

    def make(self) -> None:
        """Train, unless that was done before."""
        if not self.path.exists():
            write_arrays(self.path, {name: tensor.cpu().numpy() for name, tensor in self._trained().state_dict().items()})

    def network(self) -> Network:
        """The trained network; trained where it is missing."""
        self.make()
        network = SaliencyResNet(self.cohort.preset.network)
        network.load_state_dict({name: torch.from_numpy(np.asarray(values)) for name, values in read_arrays(self.path).items()})
        return network.to(device()).eval()

    def _trained(self) -> Network:
        preset, seed = self.cohort.preset, self.cohort.seed
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = SaliencyResNet(preset.network).to(device())
        train_filters(network, images_of(self.images, self.cohort, Split.TRAINING), epochs=preset.source_epochs, seed=seed)
        return network


@lru_cache
def training_code() -> str:
    """A digest of what trains."""
    return code_digest(*(f"dosremc_node.network.{name}" for name in TRAINING_MODULES))


TRAINING_MODULES = ("resnet22", "prediction", "source_training", "training", "losses", "augmentation", "batches", "statistics", "banks")


def device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
