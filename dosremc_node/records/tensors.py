"""What goes into the network and what comes out, with the way back to the stored image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
"""Column and row, in image or network coordinates."""


@dataclass(frozen=True, slots=True)
class InputGeometry:
    """The affine map from network input to stored image, both in continuous pixel coordinates (column, row):
    ``column = a x + b y + c`` and ``row = d x + e y + f``.
    """

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def to_image(self, point: Point) -> Point:
        x, y = point
        return (self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f)

    def to_network(self, point: Point) -> Point:
        column, row = point[0] - self.c, point[1] - self.f
        determinant = self.a * self.e - self.b * self.d
        return ((self.e * column - self.b * row) / determinant, (self.a * row - self.d * column) / determinant)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkInput:
    """An image as the network sees it.

    ``pixels`` is float32 of shape (height, width), ``breast`` bool of the same shape: where the breast is. ``geometry``
    leads back to the stored image, whose size in pixels is ``rows`` x ``columns``.
    """

    pixels: NDArray[np.float32]
    breast: NDArray[np.bool_]
    geometry: InputGeometry
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, eq=False)
class NetworkOutput:
    """What the network says of one input: the logit of malignancy and a saliency map, float32 in 0..1, shape (h, w)."""

    logit: float
    saliency: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What a capture is drawn from: an image prepared as for the network, but larger, and the saliency map of the same field,
    float32 in 0..1, of any size.
    """

    image: NetworkInput
    saliency: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LayerMoments:
    """What goes into one batch norm, by channel: mean and variance of ``count`` values each."""

    count: int
    mean: tuple[float, ...]
    variance: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BatchNormMoments:
    """The moments of one image before each batch norm, by the layer's name in the bank, such as ``stages.0.norm1``.

    They stand beside the bank's ``running_mean`` and ``running_var``.
    """

    layers: dict[str, LayerMoments]
