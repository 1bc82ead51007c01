"""Who is in the benchmark: the simulated breasts of each vendor and seed, as images that are kept on the disk.

No breast is in two splits, in two seeds, or seen by two vendors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dosremc_node.evaluation import Labels
from dosremc_node.imaging import DEFAULT_SPEC
from dosremc_node.network.cache import code_digest, read_arrays, recipe_digest, write_arrays
from dosremc_node.network.examples import Breast, Examples, simulate_here
from dosremc_node.network.science.presets import Preset
from dosremc_node.records import PreprocessingSpec
from dosremc_node.simulation import POPULATION, VENDORS, Population, simulation_sha256

SCREENING_PREVALENCE = 0.005
CHUNK_BREASTS = 50
"""Breasts that are simulated as one piece of work and kept as one file."""
SEEDS_A_SPLIT = 100_000


class Split(StrEnum):
    """What breasts are for."""

    TRAINING = "training"
    SCREENING = "screening"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Cohort:
    """The breasts of one vendor in one seed."""

    preset: Preset
    vendor: str
    seed: int

    def breasts(self, split: Split) -> list[Breast]:
        """Malignant and other ones in turn; of a screening sample 0.5 %, to the nearest breast, and these come first."""
        count = {
            Split.TRAINING: self.preset.training_breasts,
            Split.SCREENING: self.preset.screening_breasts,
            Split.VALIDATION: self.preset.validation_breasts,
            Split.TEST: self.preset.test_breasts,
        }[split]
        first = self._first_seed(split)
        if split is Split.SCREENING:
            malignant = malignant_in_screening(count)
            return [self._breast(first + 2 * index) for index in range(malignant)] + [
                self._breast(first + 2 * index + 1) for index in range(malignant, count)
            ]
        return [self._breast(first + index) for index in range(count)]

    def malignant(self, split: Split) -> Labels:
        """The label of each breast."""
        return np.array([breast.malignant for breast in self.breasts(split)])

    def _first_seed(self, split: Split) -> int:
        place = (self.seed * len(VENDORS) + list(VENDORS).index(self.vendor)) * len(Split) + list(Split).index(split)
        return 1_000_000_000 + place * SEEDS_A_SPLIT

    def _breast(self, seed: int) -> Breast:
        return Breast(seed, self.vendor, binning=None, population=population(self.preset))


def population(preset: Preset) -> Population:
    """The simulation's, with lesions as conspicuous as the preset has them."""
    return replace(POPULATION, conspicuity=preset.conspicuity)


def malignant_in_screening(breasts: int) -> int:
    """How many of so many screened breasts are malignant."""
    return round(breasts * SCREENING_PREVALENCE)


def chosen_vendors(preset: Preset) -> tuple[str, ...]:
    """The vendors that take part: the simulation's, in its order, at most as many as the preset has time for."""
    return tuple(VENDORS)[: preset.vendors]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some breasts of a cohort's split: what one process simulates at a time."""

    folder: Path
    breasts: tuple[Breast, ...]
    spec: PreprocessingSpec

    @property
    def path(self) -> Path:
        code = code_digest("dosremc_node.imaging", "dosremc_node.network.examples")
        return self.folder / f"{recipe_digest(simulation_sha256(), code, asdict(self.spec), self.breasts)}.npz"

    def make(self) -> None:
        """Simulate, unless that was done before."""
        if not self.path.exists():
            examples = simulate_here(self.breasts, self.spec)
            write_arrays(self.path, {"pixels": examples.pixels, "malignant": examples.malignant, "lesions": examples.lesions})


def chunks(folder: Path, cohort: Cohort, split: Split) -> list[Chunk]:
    """A split in pieces."""
    breasts = cohort.breasts(split)
    spec = replace(DEFAULT_SPEC, height=cohort.preset.height, width=cohort.preset.width)
    return [Chunk(folder, tuple(breasts[start : start + CHUNK_BREASTS]), spec) for start in range(0, len(breasts), CHUNK_BREASTS)]


@lru_cache(maxsize=16)
def images_of(folder: Path, cohort: Cohort, split: Split) -> Examples:
    """The images of a split, two of each breast; made where they are missing."""
    parts = []
    for chunk in chunks(folder, cohort, split):
        chunk.make()
        parts.append(read_arrays(chunk.path))
    return Examples(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def of_breasts(examples: Examples, breasts: Sequence[int] | NDArray[np.intp]) -> Examples:
    """Both images of each of these breasts."""
    images = (2 * np.asarray(breasts, np.intp)[:, None] + np.arange(2)).ravel()
    return Examples(examples.pixels[images], examples.malignant[images], examples.lesions[images])
