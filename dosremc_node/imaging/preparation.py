"""From a received file to the network input: the order of the steps, and their names in the preprocessing specification."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dosremc_node.errors import NotAMammogram, UnknownPreprocessing
from dosremc_node.imaging.decoders import StoredValues, frames, read, stored_values
from dosremc_node.imaging.geometry import Placement, bounding_box, place
from dosremc_node.imaging.grey_scale import GREY_SCALE, grey_scale
from dosremc_node.imaging.orientation import orientation
from dosremc_node.imaging.outline import CROP, SMALL, find_breast
from dosremc_node.records import Laterality, NetworkInput, PreprocessingSpec

NORMALISATION = "z-score inside the breast, 0 outside"
"""What happens to the grey values last. Outside stands the breast's mean: the same neutral value as the convolutions' own padding, and
nothing of labels and film borders.
"""

DEFAULT_SPEC = PreprocessingSpec(height=384, width=192, grey_scale=GREY_SCALE, crop=CROP, normalisation=NORMALISATION)

_SMALLEST_SIDE = 64


def prepare(path: Path, spec: PreprocessingSpec, laterality: Laterality) -> NetworkInput:
    """Make the network input of the mammogram in a DICOM file.

    Raises `NotDicom`, `UndecodableImage`, `NotAMammogram`, and `UnknownPreprocessing` where ``spec`` asks for what this program does not do.
    """
    _check_spec(spec)
    dataset = read(path)
    if frames(dataset) > 1:
        raise NotAMammogram(why="it has several frames")
    return from_stored_values(dataset, stored_values(dataset), spec, laterality)


def from_stored_values(dataset: Dataset, stored: StoredValues, spec: PreprocessingSpec, laterality: Laterality) -> NetworkInput:
    """Everything after decoding: ``stored`` of shape (rows, columns), ``dataset`` its header. Raises as `prepare`."""
    if stored.ndim != 2 or str(dataset.get("PhotometricInterpretation", "")).startswith("PALETTE"):
        raise NotAMammogram(why="it is in colour")
    if min(stored.shape) < _SMALLEST_SIDE:
        raise NotAMammogram(why=f"it has only {stored.shape[0]} x {stored.shape[1]} pixels")
    scale = grey_scale(dataset, stored)
    step = -(-max(stored.shape) // SMALL)
    # The pixel in the middle of each block stands for it: an average would mix padding with air.
    outline = find_breast(scale.apply(stored[step // 2 :: step, step // 2 :: step]))
    box = bounding_box(outline.mask, step, stored.shape)
    placement = place(box, orientation(dataset, laterality, outline.contacts), spec.height, spec.width)
    breast = _breast(outline.mask, step, placement)
    pixels = _normalised(placement.lay(scale.apply(box.cut(stored))), breast)
    return NetworkInput(pixels, breast, placement.geometry, rows=stored.shape[0], columns=stored.shape[1])


def _check_spec(spec: PreprocessingSpec) -> None:
    known = DEFAULT_SPEC
    for what in ("grey_scale", "crop", "normalisation", "chest_wall", "version"):
        if getattr(spec, what) != getattr(known, what):
            raise UnknownPreprocessing(what=what, value=getattr(spec, what), known=getattr(known, what))


def _breast(mask: NDArray[np.bool_], step: int, placement: Placement) -> NDArray[np.bool_]:
    box = placement.box
    small = mask[box.top // step : -(-box.bottom // step), box.left // step : -(-box.right // step)]
    breast = placement.lay(small.astype(np.float32)) >= 0.5
    if not breast.any():
        raise NotAMammogram(why="nothing of it remains at the network's size")
    return breast


def _normalised(grey: NDArray[np.float32], breast: NDArray[np.bool_]) -> NDArray[np.float32]:
    inside = grey[breast].astype(np.float64)
    deviation = float(inside.std())
    # A drawn region, or a breast that a wrong window has burnt out: only its rim differs.
    if deviation < 1e-4 or float(np.ptp(np.percentile(inside, (10, 90)))) < 1e-4:
        raise NotAMammogram(why="its grey values are all the same")
    normalised = np.zeros_like(grey)
    normalised[breast] = (inside - inside.mean()) / deviation
    return normalised
