"""The map between network input and stored image: exact over all turns, crops and sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dosremc_node.imaging.geometry import Box, Orientation, Placement, bounding_box, place
from dosremc_node.imaging.orientation import orientation
from dosremc_node.records import Laterality

orientations = st.builds(Orientation, st.booleans(), st.booleans(), st.booleans())


@st.composite
def placements(draw: st.DrawFn) -> tuple[tuple[int, int], Placement]:
    rows, columns = draw(st.integers(80, 400)), draw(st.integers(80, 400))
    left, top = draw(st.integers(0, columns - 60)), draw(st.integers(0, rows - 60))
    box = Box(left, top, draw(st.integers(left + 60, columns)), draw(st.integers(top + 60, rows)))
    return (rows, columns), place(box, draw(orientations), draw(st.integers(48, 400)), draw(st.integers(48, 400)))


@settings(deadline=None, max_examples=100)
@given(placements(), st.floats(0.3, 0.7), st.floats(0.3, 0.7))
def test_a_spot_is_found_where_the_map_says(placed: tuple[tuple[int, int], Placement], across: float, down: float) -> None:
    """A bright spot painted into the stored image lies in the network input within one pixel of where the map puts it."""
    shape, placement = placed
    box, scale = (
        placement.box,
        placement.content_height / (placement.box.width if placement.orientation.transpose else placement.box.height),
    )
    centre = (box.left + across * box.width, box.top + down * box.height)
    row, column = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    spread = max(3.0, 2.0 / scale)
    spot = np.exp(-(((column - centre[0]) / spread) ** 2 + ((row - centre[1]) / spread) ** 2)).astype(np.float32)
    laid = placement.lay(box.cut(spot))
    found = np.argwhere(laid > 0.6 * laid.max()).mean(axis=0) + 0.5
    x, y = placement.geometry.to_network(centre)
    assert abs(found[1] - x) <= 1.0
    assert abs(found[0] - y) <= 1.0


@given(placements(), st.floats(0, 400), st.floats(0, 400))
def test_there_and_back(placed: tuple[tuple[int, int], Placement], x: float, y: float) -> None:
    """A point taken to the stored image and back is where it was."""
    geometry = placed[1].geometry
    assert geometry.to_network(geometry.to_image((x, y))) == pytest.approx((x, y), abs=1e-6)


@given(placements())
def test_the_corners_of_the_content_are_the_corners_of_the_box(placed: tuple[tuple[int, int], Placement]) -> None:
    """What is laid into the input is the whole box and nothing else."""
    placement = placed[1]
    box, below = placement.box, placement.above + placement.content_height
    corners = {(x, y) for x in (0, placement.content_width) for y in (placement.above, below)}
    mapped = {tuple(round(value, 6) for value in placement.geometry.to_image(corner)) for corner in corners}
    assert mapped == {(column, row) for column in (box.left, box.right) for row in (box.top, box.bottom)}


@given(placements())
def test_the_aspect_is_kept(placed: tuple[tuple[int, int], Placement]) -> None:
    """Both directions are scaled alike, to the rounding of a pixel, and the content fits the input."""
    placement = placed[1]
    width, height = placement.box.width, placement.box.height
    width, height = (height, width) if placement.orientation.transpose else (width, height)
    scale = min(placement.height / height, placement.width / width)
    assert abs(placement.content_width - width * scale) <= 1
    assert abs(placement.content_height - height * scale) <= 1
    below = placement.height - placement.above - placement.content_height
    assert placement.above >= 0
    assert 0 <= below - placement.above <= 1  # centred from top to bottom
    assert placement.content_width <= placement.width


@given(st.integers(1, 13), st.data())
def test_the_box_holds_the_mask(step: int, data: st.DataObject) -> None:
    """The box around a mask of every n-th pixel holds all pixels that the mask stands for, and stays inside the image."""
    rows, columns = data.draw(st.integers(20, 300)), data.draw(st.integers(20, 300))
    mask = np.zeros((-(-rows // step), -(-columns // step)), dtype=np.bool_)
    row, column = data.draw(st.integers(0, mask.shape[0] - 1)), data.draw(st.integers(0, mask.shape[1] - 1))
    mask[row, column] = True
    box = bounding_box(mask, step, (rows, columns))
    assert 0 <= box.left <= column * step
    assert 0 <= box.top <= row * step
    assert min(columns, (column + 1) * step) <= box.right <= columns
    assert min(rows, (row + 1) * step) <= box.bottom <= rows


CONTACTS = {"left": (200, 20, 0, 10), "top": (10, 200, 20, 0), "right": (0, 20, 200, 10), "bottom": (10, 0, 20, 200)}


@pytest.mark.parametrize(
    ("directions", "touches", "laterality", "expected"),
    [
        (["A", "R"], "left", "L", Orientation()),
        (["P", "L"], "right", "R", Orientation(mirror=True)),
        (["P", "FL"], "right", "R", Orientation(mirror=True)),
        (["P", "HL"], "right", "L", Orientation(mirror=True, upend=True)),
        (["A", "L"], "left", "L", Orientation(upend=True)),
        (["R", "A"], "top", "L", Orientation(transpose=True)),
        (["FL", "P"], "bottom", "R", Orientation(transpose=True, mirror=True)),
        (["H", "P"], "bottom", "R", Orientation(transpose=True, mirror=True, upend=True)),
        # The header contradicts the image: the image counts, and nothing of the header is believed.
        (["A", "HL"], "right", "L", Orientation(mirror=True)),
        (["P", "R"], "left", "L", Orientation()),
        # The header says nothing that could be used.
        (["CC"], "right", "L", Orientation(mirror=True)),
        (None, "top", "L", Orientation(transpose=True)),
        (["X", "Y"], "bottom", "L", Orientation(transpose=True, mirror=True)),
        (["L", "F"], "left", "L", Orientation()),
    ],
)
def test_the_chest_wall_comes_to_the_left(directions: list[str] | None, touches: str, laterality: str, expected: Orientation) -> None:
    """Where the breast touches the image decides what is turned; Patient Orientation decides what is up, if it agrees."""
    dataset = Dataset()
    if directions:
        dataset.PatientOrientation = directions
    assert orientation(dataset, Laterality(laterality), CONTACTS[touches]) == expected


@pytest.mark.parametrize(("laterality", "expected"), [("L", Orientation()), ("R", Orientation(mirror=True))])
def test_the_side_decides_where_the_image_does_not(laterality: str, expected: Orientation) -> None:
    """A breast that touches both edges is turned as its side usually lies."""
    assert orientation(Dataset(), Laterality(laterality), (200, 0, 200, 0)) == expected
