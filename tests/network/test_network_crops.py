"""Where GMIC looks closer: against the same search written with loops."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dosremc_node.network.crops import best_windows, crops_at, window_of


def searched(maps: NDArray[np.float64], window: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """The greedy search on one image's maps (outputs, h, w), place by place."""
    worth = sum((each - each.min()) / (each.max() - each.min()) for each in maps)
    assert isinstance(worth, np.ndarray)
    places = []
    for _ in range(count):
        best, place = -1.0, (0, 0)
        for row in range(worth.shape[0] - window[0] + 1):
            for column in range(worth.shape[1] - window[1] + 1):
                total = worth[row : row + window[0], column : column + window[1]].sum()
                if total > best:
                    best, place = total, (row, column)
        places.append(place)
        worth[place[0] : place[0] + window[0], place[1] : place[1] + window[1]] = 0
    return places


@given(
    seed=st.integers(0, 10_000), size=st.tuples(st.integers(4, 12), st.integers(4, 12)), window=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    count=st.integers(1, 4),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_windows_are_those_of_a_plain_search(seed: int, size: tuple[int, int], window: tuple[int, int], count: int) -> None:
    """For a batch of maps, each image's windows are those that loops find one after the other."""
    maps = torch.rand(3, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = best_windows(maps, window, count)
    for image, places in zip(maps.numpy(), found.tolist(), strict=True):
        assert [tuple(place) for place in places] == searched(image, window, count)


@given(
    size=st.tuples(st.integers(20, 60), st.integers(20, 60)), grid=st.tuples(st.integers(2, 9), st.integers(2, 9)), crop=st.integers(4, 20),
    data=st.data(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_crops_are_the_pixels_below_their_cells(size: tuple[int, int], grid: tuple[int, int], crop: int, data: st.DataObject) -> None:
    """Each crop starts at its cell's first pixel, rounded, or as near as the image's border lets it."""
    (height, width), (rows, columns) = size, grid
    images = torch.arange(2 * height * width, dtype=torch.float32).reshape(2, 1, height, width)
    cells = torch.tensor(
        [[[data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))] for _ in range(3)] for _ in range(2)]
    )
    cut = crops_at(images, torch.zeros(2, 1, rows, columns), cells, crop).reshape(2, 3, crop, crop)
    for image in range(2):
        for number in range(3):
            row, column = cells[image, number].tolist()
            top = min(int(np.floor(row * height / rows + 0.5)), height - crop)
            left = min(int(np.floor(column * width / columns + 0.5)), width - crop)
            assert torch.equal(cut[image, number], images[image, 0, top : top + crop, left : left + crop])


def test_the_papers_window() -> None:
    """256 pixels of 2944 x 1920 are 4 x 4 of the 46 x 30 cells."""
    assert window_of(256, torch.zeros(1, 1, 2944, 1920), torch.zeros(1, 1, 46, 30)) == (4, 4)


def test_a_map_without_contrast_gives_places_and_no_nan() -> None:
    """A constant map has no best window: the first one is taken, again and again."""
    assert best_windows(torch.ones(1, 2, 6, 5), (2, 2), 3).tolist() == [[[0, 0]] * 3]
