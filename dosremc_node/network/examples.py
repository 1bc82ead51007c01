"""Training examples: simulated breasts, seen through the same `imaging` room as in service."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dosremc_node.imaging import prepare
from dosremc_node.records import Laterality, NetworkInput, PreprocessingSpec, View
from dosremc_node.simulation import POPULATION, VENDORS, Order, Population, SimulatedImage, simulate_view

VIEWS = (View.CC, View.MLO)
COARSE_PITCH_MM = 0.5
"""Pixel pitch of training images: finer than the network's input, coarse enough to simulate thousands."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """n images, two in a row for each breast (CC, MLO).

    ``pixels`` float16 (n, height, width) as `imaging` normalised them; ``malignant`` bool (n,); ``lesions`` float32 (n, 3): column,
    row and radius of the malignant lesion in network pixels, NaN where there is none.
    """

    pixels: NDArray[np.float16]
    malignant: NDArray[np.bool_]
    lesions: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.malignant)

    @property
    def breasts(self) -> NDArray[np.intp]:
        """The number of each image's breast."""
        return np.arange(len(self)) // 2

    def batch(self, chosen: Sequence[int] | NDArray[np.intp]) -> torch.Tensor:
        """The images of these indices, float32 (n, 1, height, width)."""
        return torch.from_numpy(self.pixels[chosen].astype(np.float32))[:, None]


@dataclass(frozen=True, slots=True)
class Breast:
    """One breast to simulate: even seeds are malignant, every other pair of seeds is a right breast."""

    seed: int
    vendor: str
    binning: float | None
    """None: as coarse as training images are."""
    population: Population = POPULATION

    @property
    def malignant(self) -> bool:
        return self.seed % 2 == 0

    @property
    def laterality(self) -> Laterality:
        return Laterality.RIGHT if self.seed // 2 % 2 else Laterality.LEFT


def simulate_examples(
    breasts: Sequence[Breast], spec: PreprocessingSpec, *, processes: int = 2, progress: Callable[[float], None] = lambda _: None
) -> Examples:
    """Both views of each breast, simulated and prepared in ``processes`` processes; ``progress`` hears the share that is done."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        made = pool.map(_both_views, breasts, [spec] * len(breasts), chunksize=8)
        return _gather(_counted(made, len(breasts), progress))


def simulate_here(breasts: Sequence[Breast], spec: PreprocessingSpec) -> Examples:
    """As `simulate_examples`, in this process."""
    return _gather(image for breast in breasts for image in _both_views(breast, spec))


def prepared_examples(images: Iterable[SimulatedImage], spec: PreprocessingSpec) -> Examples:
    """Images that are there already, two in a row for each breast."""
    return _gather(_seen(image, spec) for image in images)


def _counted(
    made: Iterable[list[tuple[NetworkInput, SimulatedImage]]], total: int, progress: Callable[[float], None]
) -> Iterable[tuple[NetworkInput, SimulatedImage]]:
    for done, pair in enumerate(made, start=1):
        yield from pair
        progress(done / total)


def _gather(images: Iterable[tuple[NetworkInput, SimulatedImage]]) -> Examples:
    pixels, lesions = [], []
    for prepared, image in images:
        pixels.append(prepared.pixels.astype(np.float16))
        lesions.append(_lesion(prepared, image))
    places = np.array(lesions, np.float32)
    return Examples(np.stack(pixels), ~np.isnan(places[:, 0]), places)


def _lesion(prepared: NetworkInput, image: SimulatedImage) -> tuple[float, float, float]:
    if image.lesion is None:
        return (np.nan, np.nan, np.nan)
    geometry, (column, row) = prepared.geometry, image.lesion.centre
    centre = geometry.to_network((column, row))
    edge = geometry.to_network((column + image.lesion.radius, row))
    return (*centre, float(np.hypot(edge[0] - centre[0], edge[1] - centre[1])))


def _both_views(breast: Breast, spec: PreprocessingSpec) -> list[tuple[NetworkInput, SimulatedImage]]:
    cv2.setNumThreads(1)
    vendor = VENDORS[breast.vendor]
    malignant = breast.laterality if breast.malignant else None
    order = Order(breast.seed, vendor, malignant, breast.binning or COARSE_PITCH_MM / vendor.pitch_mm, breast.population)
    return [_seen(simulate_view(order, breast.laterality, view), spec) for view in VIEWS]


def _seen(image: SimulatedImage, spec: PreprocessingSpec) -> tuple[NetworkInput, SimulatedImage]:
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(image.content)
        file.flush()
        prepared = prepare(Path(file.name), spec, image.laterality)
    return prepared, SimulatedImage(image.laterality, image.view, image.sop_instance_uid, b"", image.lesion)
