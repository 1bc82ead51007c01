"""Where a network looks closer: the windows of a map that hold most, one after the other, and the pixels below them.

GMIC's greedy retrieval (Shen et al., arXiv 2002.07613, algorithm 1), in operations that ONNX has, for any number of images at once.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def best_windows(maps: Tensor, window: tuple[int, int], count: int) -> Tensor:
    """The upper left cells (n, count, 2: row, column) of the ``count`` windows with the largest sums, from maps (n, outputs, h, w).

    Each map is stretched to 0..1 and the maps of an image are added. What lies in a window that was taken counts as 0 afterwards, so that
    windows avoid, but may overlap, each other. Of windows with equal sums the first is taken, row by row.
    """
    worth = _stretched(maps)
    taken = []
    for _ in range(count):
        sums = functional.avg_pool2d(worth, window, stride=1)
        place = sums.flatten(1).argmax(dim=1)
        row, column = torch.div(place, sums.shape[3], rounding_mode="floor"), place % sums.shape[3]
        taken.append(torch.stack([row, column], dim=1))
        worth = worth * (1 - _inside(worth, row, column, window))
    return torch.stack(taken, dim=1)


def window_of(crop: int, images: Tensor, maps: Tensor) -> tuple[int, int]:
    """The height and width in cells of a window that covers ``crop`` x ``crop`` pixels, to the nearest cell and at least one."""
    (height, width), (rows, columns) = _size(images), _size(maps)
    return max(1, round(crop * rows / height)), max(1, round(crop * columns / width))


def crops_at(images: Tensor, maps: Tensor, cells: Tensor, crop: int) -> Tensor:
    """The pixels (n * count, 1, crop, crop) of images (n, 1, height, width) whose upper left corners are those of ``cells`` (n, count, 2).

    A crop that would leave the image is moved inside.
    """
    (height, width), (rows, columns) = _size(images), _size(maps)
    top = _pixel(cells[:, :, 0], height, rows, crop)
    left = _pixel(cells[:, :, 1], width, columns, crop)
    side = torch.arange(crop, device=images.device)
    places = (top[:, :, None, None] + side[:, None]) * width + left[:, :, None, None] + side
    return images.flatten(1).gather(1, places.flatten(1)).reshape(-1, 1, crop, crop)


def _pixel(cell: Tensor, pixels: int, cells: int, crop: int) -> Tensor:
    """Where a cell begins, to the nearest pixel, in whole numbers: no rounding differs between torch and a runtime."""
    return torch.div(2 * cell * pixels + cells, 2 * cells, rounding_mode="floor").clamp(max=pixels - crop)


def _stretched(maps: Tensor) -> Tensor:
    low, high = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    # A map without any contrast has nothing to look closer at, and must not become 0 / 0.
    return ((maps - low) / (high - low).clamp(min=1e-12)).sum(dim=1, keepdim=True)


def _inside(maps: Tensor, row: Tensor, column: Tensor, window: tuple[int, int]) -> Tensor:
    """1 in each map's window, 0 elsewhere."""
    size = _size(maps)
    rows, columns = (
        (torch.arange(size[axis], device=maps.device) - start[:, None]).ge(0)
        & (torch.arange(size[axis], device=maps.device) - start[:, None]).lt(window[axis])
        for axis, start in enumerate((row, column))
    )
    return (rows[:, None, :, None] & columns[:, None, None, :]).to(maps.dtype)


def _size(images: Tensor) -> tuple[int, int]:
    return int(images.shape[2]), int(images.shape[3])
