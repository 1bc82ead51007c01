"""The grey scale as the vendor meant it, checked against the formulas of the standard and against DCMTK's renderer."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dosremc_node.errors import UndecodableImage
from dosremc_node.imaging.decoders import read, stored_values
from dosremc_node.imaging.grey_scale import grey_scale

TWELVE_BITS = 1.01 / 4095


def _rendered(dcmtk: Any, path: Path, *options: str) -> np.ndarray[Any, Any]:
    """What DCMTK's renderer shows, in 0..1."""
    picture = path.with_suffix(".png")
    assert dcmtk("dcmj2pnm", "-O", *options, "+on2", path, picture)
    return cv2.imread(str(picture), cv2.IMREAD_UNCHANGED).astype(np.float64) / 65535


def _grey(path: Path) -> np.ndarray[Any, Any]:
    dataset = read(path)
    stored = stored_values(dataset)
    return grey_scale(dataset, stored).apply(stored)


def _lut(values: list[int], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US", [len(values), first, bits])
    item.add_new(0x00283006, "US", values)
    return item


@pytest.mark.parametrize("interpretation", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("window", list(itertools.product(["LINEAR", "SIGMOID"], [(1200, 900), (2000, 4000), (500, 2)])), ids=str)
def test_a_window_is_what_dcmtk_shows(interpretation: str, window: Any, make_file: Any, breast: Any, dcmtk: Any) -> None:
    """Windows of every function and polarity give the grey that DCMTK renders."""
    function, (centre, width) = window
    elements = {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": function, "PhotometricInterpretation": interpretation}
    path = make_file(breast(200, 150), **elements)
    np.testing.assert_allclose(_grey(path), _rendered(dcmtk, path, "+Wi", "1"), atol=TWELVE_BITS)


def test_the_first_of_several_windows_counts(make_file: Any, breast: Any, dcmtk: Any) -> None:
    """Of several windows the first is taken."""
    path = make_file(breast(200, 150), WindowCenter=[900, 2000], WindowWidth=[700, 100])
    np.testing.assert_allclose(_grey(path), _rendered(dcmtk, path, "+Wi", "1"), atol=TWELVE_BITS)


def test_linear_exact_follows_its_formula(make_file: Any) -> None:
    """LINEAR_EXACT maps centre minus half the width to 0, plus half the width to 1 (PS3.3 C.11.2.1.3.2)."""
    values = np.tile(np.array([[0, 100, 150, 200, 300]], dtype=np.uint16), (5, 1))
    grey = _grey(make_file(values, WindowCenter=150, WindowWidth=100, VOILUTFunction="LINEAR_EXACT"))
    np.testing.assert_allclose(grey[0], [0, 0, 0.5, 1, 1], atol=1e-6)


def test_linear_follows_its_formula(make_file: Any) -> None:
    """LINEAR has its half and its one pixel steps where the standard puts them (PS3.3 C.11.2.1.2.1)."""
    values = np.tile(np.array([[0, 100, 149, 150, 199, 200]], dtype=np.uint16), (5, 1))
    grey = _grey(make_file(values, WindowCenter=150, WindowWidth=101))
    np.testing.assert_allclose(grey[0], [0, 0.005, 0.495, 0.505, 0.995, 1], atol=1e-6)


def test_a_lut_is_preferred_to_a_window(make_file: Any, breast: Any, dcmtk: Any) -> None:
    """Where a VOI LUT and windows stand in one image the LUT counts, its ends reach on, and its bits are its own."""
    curve = [int(4095 * (index / 1999) ** 2) for index in range(2000)]
    path = make_file(breast(200, 150), WindowCenter=100, WindowWidth=10, VOILUTSequence=Sequence([_lut(curve, 300, 12)]))
    np.testing.assert_allclose(_grey(path), _rendered(dcmtk, path, "+Wl", "1"), atol=TWELVE_BITS)


def test_a_lut_of_sixteen_bits(make_file: Any, breast: Any, dcmtk: Any) -> None:
    """A VOI LUT whose entries fill 16 bits is scaled by them."""
    curve = [int(65535 * (index / 4095) ** 0.7) for index in range(4096)]
    path = make_file(breast(200, 150), VOILUTSequence=Sequence([_lut(curve, 0, 16)]))
    np.testing.assert_allclose(_grey(path), _rendered(dcmtk, path, "+Wl", "1"), atol=TWELVE_BITS)


@pytest.mark.parametrize("first", [-500, 65036])
def test_a_lut_of_signed_values(first: int, make_file: Any, dcmtk: Any) -> None:
    """The first mapped value of a LUT is negative where the stored values are signed, however it was read."""
    values = (np.arange(100, dtype=np.int16) * 12 - 600).reshape(10, 10)
    item = _lut(list(range(0, 4000, 4)), 0, 12)
    item.add_new(0x00283002, "SS" if first < 0 else "US", [1000, first, 12])
    grey = _grey(make_file(values, VOILUTSequence=Sequence([item])))
    expected = np.clip(values + 500, 0, 999) * 4 / 4095
    np.testing.assert_allclose(grey, expected, atol=1e-6)


def test_rescaling_comes_before_the_window(make_file: Any, breast: Any, dcmtk: Any) -> None:
    """Rescale slope and intercept are applied before the window."""
    path = make_file(breast(200, 150), RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=700, WindowWidth=1500)
    np.testing.assert_allclose(_grey(path), _rendered(dcmtk, path, "+Wi", "1"), atol=TWELVE_BITS)


def test_a_modality_lut_comes_before_the_window(make_file: Any, breast: Any, dcmtk: Any) -> None:
    """A Modality LUT Sequence is applied before the window, and instead of a rescaling."""
    item = _lut([4095 - value for value in range(4096)], 0, 12)
    item.ModalityLUTType = "US"
    path = make_file(breast(200, 150), ModalityLUTSequence=Sequence([item]), WindowCenter=3000, WindowWidth=1500)
    np.testing.assert_allclose(_grey(path), _rendered(dcmtk, path, "+Wi", "1"), atol=TWELVE_BITS)


def test_without_a_voi_the_smallest_becomes_black_and_the_largest_white(make_file: Any, breast: Any, dcmtk: Any) -> None:
    """Without any VOI transformation the grey runs from the smallest to the largest value."""
    path = make_file(breast(200, 150))
    np.testing.assert_allclose(_grey(path), _rendered(dcmtk, path, "+Wm"), atol=TWELVE_BITS)


@pytest.mark.parametrize("shape", [None, "IDENTITY", "INVERSE"])
@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_inversion_happens_once(shape: str | None, interpretation: str, make_file: Any, breast: Any) -> None:
    """MONOCHROME1 and Presentation LUT Shape INVERSE invert, and together they invert once."""
    pixels = breast(200, 150)
    elements = {"PresentationLUTShape": shape} if shape else {}
    grey = _grey(make_file(pixels, PhotometricInterpretation=interpretation, WindowCenter=2048, WindowWidth=4096, **elements))
    inverse = interpretation == "MONOCHROME1" or shape == "INVERSE"
    breast_grey, air_grey = float(grey[110, 10]), float(grey[10, 140])
    assert (breast_grey < air_grey) == inverse


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("first", "limit"), [(3076, 3204), (3204, 3076), (3100, None)])
def test_padding_is_black(interpretation: str, first: int, limit: int | None, make_file: Any, breast: Any) -> None:
    """Padding, bright or dark, a value or a range given either way round, is black like air, and does not stretch the grey."""
    pixels = np.clip(breast(200, 150), 0, 2000)
    pixels[:40] = 3100
    elements: dict[str, object] = {"PixelPaddingValue": first, "PhotometricInterpretation": interpretation}
    if limit is not None:
        elements["PixelPaddingRangeLimit"] = limit
    path = make_file(pixels, **elements)
    grey = _grey(path)
    assert not grey[:40].any()
    assert grey[40:].max() == 1.0


def test_padding_of_signed_values(make_file: Any) -> None:
    """A negative padding value is found even where it was written as an unsigned number."""
    values = (np.arange(100, dtype=np.int16) - 20).reshape(10, 10)
    values[0] = -2000
    path = make_file(values)
    dataset = read(path)
    dataset.add_new(0x00280120, "US", 65536 - 2000)
    stored = stored_values(dataset)
    grey = grey_scale(dataset, stored)
    assert grey.is_padding(stored)[0].all()
    assert not grey.is_padding(stored)[1:].any()


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": "", "WindowWidth": ""},
        {"VOILUTSequence": Sequence([Dataset()])},
        {"VOILUTSequence": Sequence([_lut([1, 2, 3], 0, 0)])},
        {"RescaleSlope": 0},
    ],
)
def test_nonsense_in_the_header_counts_as_absent(elements: dict[str, object], make_file: Any, breast: Any) -> None:
    """A window without width, an empty LUT and the like do not keep an image from being shown."""
    grey = _grey(make_file(breast(200, 150), **elements))
    assert grey.min() == 0.0
    assert grey.max() == 1.0


def test_a_real_unit_with_sigmoid_windows_and_luts(shared_data: Path, dcmtk: Any) -> None:
    """An image of a GE Essential with three windows (SIGMOID) and three VOI LUTs is shown as DCMTK shows its first LUT."""
    source = shared_data / "fo-dicom" / "GH133.dcm"
    dataset = read(source)
    stored = stored_values(dataset)
    scale = grey_scale(dataset, stored)
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    item = dataset.VOILUTSequence[0]
    first, data = item.LUTDescriptor[1], np.asarray(item.LUTData)
    expected = data[np.clip(values.astype(int) - first, 0, len(data) - 1)] / 4095
    expected[values <= 30] = 0  # Pixel Padding Value 0 to Range Limit 30
    np.testing.assert_allclose(scale.apply(values), expected, atol=1e-6)


def test_a_real_units_sigmoid_window_is_what_dcmtk_shows(shared_data: Path, tmp_path: Path, dcmtk: Any) -> None:
    """Without its LUTs the same image is shown through its first window, SIGMOID, as DCMTK renders it."""
    plain = tmp_path / "plain.dcm"
    assert dcmtk("dcmdjpeg", shared_data / "fo-dicom" / "GH133.dcm", plain)
    dataset = read(plain)
    del dataset.VOILUTSequence
    dataset.save_as(plain)
    stored = stored_values(dataset)
    scale = grey_scale(dataset, stored)
    shown = ~scale.is_padding(stored)
    np.testing.assert_allclose(scale.apply(stored)[shown], _rendered(dcmtk, plain, "+Wi", "1")[shown], atol=TWELVE_BITS)


def test_a_real_unit_rendered_by_dcmtk(shared_data: Path, tmp_path: Path, dcmtk: Any) -> None:
    """The same image, decompressed and rendered by DCMTK, differs from ours nowhere but in the padding."""
    plain = tmp_path / "plain.dcm"
    assert dcmtk("dcmdjpeg", shared_data / "fo-dicom" / "GH133.dcm", plain)
    dataset = read(plain)
    stored = stored_values(dataset)
    scale = grey_scale(dataset, stored)
    shown = ~scale.is_padding(stored)
    np.testing.assert_allclose(scale.apply(stored)[shown], _rendered(dcmtk, plain, "+Wl", "1")[shown], atol=TWELVE_BITS)


def test_more_than_sixteen_bits_are_refused(make_file: Any) -> None:
    """No mammogram has 32-bit values: they are refused rather than cut off."""
    dataset = read(make_file(np.zeros((70, 70), dtype=np.uint32), BitsStored=32))
    with pytest.raises(UndecodableImage):
        grey_scale(dataset, stored_values(dataset))
