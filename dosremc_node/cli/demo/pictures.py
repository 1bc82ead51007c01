"""A view as a workstation shows it: grey scale, hanging, and what lies over it, in one system of coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_voi

from dosremc_node.records import InputGeometry, NetworkInput, Point

HEIGHT = 900
"""Of a view on the page, in pixels."""
FLOOR = 0.1
"""Saliency that is not worth a colour."""
Matrix = NDArray[np.float64]
Picture = NDArray[np.uint8]


def hanging(dataset: Dataset) -> tuple[Matrix, tuple[int, int]]:
    """The map from stored to shown coordinates, and the shown width and height.

    Mammograms hang back to back: the chest wall of the right breast on the right, lateral or head at the top. Where the
    header does not say how the image lies, it is shown as it is stored.
    """
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    scale = HEIGHT / rows
    width = round(columns * scale)
    matrix = np.diag([scale, scale, 1.0])
    orientation = [str(value) for value in dataset.get("PatientOrientation") or []]
    laterality = str(dataset.get("ImageLaterality", ""))
    if len(orientation) == 2 and laterality in ("L", "R"):
        if orientation[0][:1] != ("P" if laterality == "R" else "A"):
            matrix = np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) @ matrix
        if orientation[1][:1] not in ("F", "L" if laterality == "R" else "R"):
            matrix = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, HEIGHT], [0.0, 0.0, 1.0]]) @ matrix
    return matrix, (width, HEIGHT)


def moved(points: Sequence[Point], matrix: Matrix) -> list[Point]:
    homogeneous = np.column_stack([np.asarray(points, dtype=float), np.ones(len(points))])
    return [(float(x), float(y)) for x, y, _ in homogeneous @ matrix.T]


def _warped(picture: NDArray[np.float32], matrix: Matrix, size: tuple[int, int]) -> NDArray[np.float32]:
    """``picture`` through ``matrix``, which maps corners of pixels; OpenCV counts from their centres."""
    centre = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    from_centres = np.linalg.inv(centre) @ matrix @ centre
    return np.asarray(cv2.warpAffine(picture, from_centres[:2], size, flags=cv2.INTER_LINEAR), dtype=np.float32)


def picture(dataset: Dataset, to_shown: Matrix, size: tuple[int, int]) -> Picture:
    """The pixels through the window of the header, grey, as a workstation shows them."""
    stored = dataset.pixel_array
    padding = dataset.get("PixelPaddingValue")
    grey = np.asarray(apply_voi(stored, dataset) if "WindowCenter" in dataset or "VOILUTSequence" in dataset else stored, dtype=np.float32)
    grey /= float(2 ** int(dataset.BitsStored) - 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 1.0 - grey
    if padding is not None:
        grey[stored == padding] = 0.0
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    rescaled = np.diag([grey.shape[1] / size[0], grey.shape[0] / size[1], 1.0])
    return np.asarray(255.0 * np.clip(_warped(np.asarray(small), to_shown @ rescaled, size), 0.0, 1.0), dtype=np.uint8)


def heat_map(saliency: NDArray[np.float32], network_input: NetworkInput, to_shown: Matrix, size: tuple[int, int]) -> Picture:
    """The saliency map over the shown picture: colour by value, transparent where it is low (BGRA)."""
    height, width = network_input.pixels.shape
    enlarged = np.diag([width / saliency.shape[1], height / saliency.shape[0], 1.0])
    values = np.clip(_warped(saliency, to_shown @ _affine(network_input.geometry) @ enlarged, size), 0.0, 1.0)
    # From the middle of the colour table on: its dark end would darken the breast instead of lighting it up.
    colour = cv2.applyColorMap(np.asarray(255 * (0.4 + 0.6 * values), dtype=np.uint8), cv2.COLORMAP_INFERNO)
    return np.dstack([colour, np.asarray(200 * np.clip((values - FLOOR) / (1.0 - FLOOR) * 1.5, 0.0, 1.0), dtype=np.uint8)])


def _affine(geometry: InputGeometry) -> Matrix:
    return np.array([[geometry.a, geometry.b, geometry.c], [geometry.d, geometry.e, geometry.f], [0.0, 0.0, 1.0]])


def png(picture: Picture) -> bytes:
    _, encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    return encoded.tobytes()
