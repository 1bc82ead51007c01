"""Where a region of the stored image comes to lie in the network input, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dosremc_node.records import InputGeometry, Point

Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Orientation:
    """What turns a stored image so that the chest wall is on the left and the head, or the outer side, up: first rows and columns
    exchanged, then left and right, then up and down.
    """

    transpose: bool = False
    mirror: bool = False
    upend: bool = False

    def apply(self, image: NDArray[Kind]) -> NDArray[Kind]:
        """A turned view of the image."""
        turned = image.T if self.transpose else image
        return turned[:: -1 if self.upend else 1, :: -1 if self.mirror else 1]


@dataclass(frozen=True, slots=True)
class Box:
    """A region in whole pixels of the stored image; right and bottom are the first pixels outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def cut(self, image: NDArray[Kind]) -> NDArray[Kind]:
        return image[self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True, slots=True)
class Placement:
    """A region of the stored image, turned, scaled to ``content_height`` x ``content_width``, and laid into an input of ``height`` x ``width``
    at its left edge, ``above`` rows from the top.
    """

    box: Box
    orientation: Orientation
    height: int
    width: int
    content_height: int
    content_width: int
    above: int

    def lay(self, region: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network input of ``region``, the box cut from an image of any resolution: averaged over areas, 0 around it."""
        turned = np.ascontiguousarray(self.orientation.apply(region))
        interpolation = cv2.INTER_AREA if turned.shape[0] >= self.content_height else cv2.INTER_LINEAR
        content = cv2.resize(turned, (self.content_width, self.content_height), interpolation=interpolation)
        laid: NDArray[np.float32] = np.zeros((self.height, self.width), dtype=np.float32)
        laid[self.above : self.above + self.content_height, : self.content_width] = content
        return laid

    @property
    def geometry(self) -> InputGeometry:
        """The exact map from network input to stored image."""
        origin, right, below = (self._to_image(point) for point in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
        return InputGeometry(
            a=right[0] - origin[0],
            b=below[0] - origin[0],
            c=origin[0],
            d=right[1] - origin[1],
            e=below[1] - origin[1],
            f=origin[1],
        )

    def _to_image(self, point: Point) -> Point:
        across, down = point[0] / self.content_width, (point[1] - self.above) / self.content_height
        down = 1.0 - down if self.orientation.upend else down
        across = 1.0 - across if self.orientation.mirror else across
        if self.orientation.transpose:
            across, down = down, across
        return (self.box.left + across * self.box.width, self.box.top + down * self.box.height)


def place(box: Box, orientation: Orientation, height: int, width: int) -> Placement:
    """Fit a region into an input of ``height`` x ``width``, aspect kept: the chest wall at the left edge, centred from top to bottom."""
    box_width, box_height = (box.height, box.width) if orientation.transpose else (box.width, box.height)
    scale = min(height / box_height, width / box_width)
    content_height = min(height, max(1, round(box_height * scale)))
    content_width = min(width, max(1, round(box_width * scale)))
    return Placement(box, orientation, height, width, content_height, content_width, (height - content_height) // 2)


def bounding_box(mask: NDArray[np.bool_], step: int, shape: tuple[int, ...], margin: int = 2) -> Box:
    """The box around a mask on a copy of every ``step``-th pixel, ``margin`` of its pixels wider, in pixels of the image of ``shape``."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return Box(
        left=_start(columns, margin) * step,
        top=_start(rows, margin) * step,
        right=min(shape[1], (int(columns[-1]) + 1 + margin) * step),
        bottom=min(shape[0], (int(rows[-1]) + 1 + margin) * step),
    )


def _start(indices: NDArray[np.integer[Any]], margin: int) -> int:
    return max(0, int(indices[0]) - margin)
