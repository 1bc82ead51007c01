"""From a saliency map to regions: closed outlines on the breast, in the stored image's coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dosremc_node.records import Finding, NetworkInput, NetworkOutput, Point

FINDINGS_AT_MOST = 3
PART_OF_PEAK = 0.5
"""A region ends where the saliency has fallen to this part of the strongest on the breast: its width at half maximum."""
CORNERS_AT_LEAST, POINTS_AT_MOST = 3, 60
SMOOTHNESS = 0.008
"""How far a simplified outline may lie from the true one, as a part of its length: a round region gets some ten to twenty points."""


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """One connected part of the network input: which pixels, and the strongest saliency among them."""

    mask: NDArray[np.bool_]
    centre: Point
    peak: float


def find_findings(output: NetworkOutput, network_input: NetworkInput, probability: float) -> tuple[Finding, ...]:
    """The regions that drove the score of an image with the calibrated ``probability``, strongest first, at most three.

    A region is a connected part of the breast where the saliency is at least half of its maximum on the breast; so there is
    always one, and none on the background. The strongest carries the image's probability, a weaker one that part of it
    which its own peak is of the strongest. Outlines are closed (the last point is the first) and have at most 61 points.
    """
    saliency = _on_the_input(output.saliency, network_input.breast)
    regions = sorted(_regions(saliency, network_input.breast), key=lambda region: region.peak, reverse=True)
    strongest = regions[0].peak if regions else 0.0
    return tuple(
        Finding(
            outline=tuple(_clipped(network_input, point) for point in _outline(region.mask)),
            centre=_clipped(network_input, region.centre),
            probability=probability * (region.peak / strongest if strongest > 0 else 1.0),
        )
        for region in regions[:FINDINGS_AT_MOST]
    )


def _on_the_input(saliency: NDArray[np.float32], breast: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The map at the size of the network input; interpolated, or outlines would show the cells of the map."""
    height, width = breast.shape
    resized: NDArray[np.float32] = cv2.resize(saliency, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return resized


def _regions(saliency: NDArray[np.float32], breast: NDArray[np.bool_]) -> Iterator[_Region]:
    if not breast.any():
        return
    above = breast & (saliency >= PART_OF_PEAK * saliency[breast].max())
    count, labels, _, centroids = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=8)
    for label in range(1, count):
        mask = labels == label
        row, column = np.unravel_index(np.argmax(np.where(mask, saliency, -1.0)), mask.shape)
        yield _Region(mask, _centre(mask, centroids[label], (float(column), float(row))), float(saliency[row, column]))


def _centre(mask: NDArray[np.bool_], centroid: NDArray[np.float64], peak: Point) -> Point:
    """The middle of a region; where that lies beside it, as with a crescent, the strongest point."""
    column, row = centroid
    inside = mask[round(row), round(column)]
    x, y = (round(column), round(row)) if inside else peak
    return (x + 0.5, y + 0.5)


def _outline(mask: NDArray[np.bool_]) -> list[Point]:
    """The region's outer border in the network input's coordinates, closed.

    OpenCV draws contours through the centres of the border's pixels. At twice the size even a single pixel has four of them,
    and they all lie inside it.
    """
    top, left, part = _cut_out(mask)
    doubled = part.repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = [(left + (x + 0.5) / 2, top + (y + 0.5) / 2) for x, y in _simplified(contours[0].astype(np.int32))]
    return [*points, points[0]]


def _cut_out(mask: NDArray[np.bool_]) -> tuple[int, int, NDArray[np.bool_]]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return top, left, mask[top : rows[-1] + 1, left : columns[-1] + 1]


def _simplified(contour: NDArray[np.int32]) -> list[tuple[int, int]]:
    tolerance = SMOOTHNESS * cv2.arcLength(contour, closed=True)
    simplified = cv2.approxPolyDP(contour, tolerance, closed=True)
    while len(simplified) > POINTS_AT_MOST:
        tolerance *= 1.5
        simplified = cv2.approxPolyDP(contour, tolerance, closed=True)
    while len(simplified) < CORNERS_AT_LEAST:  # a long and thin region would become a line
        tolerance /= 2
        simplified = cv2.approxPolyDP(contour, tolerance, closed=True)
    return [(int(x), int(y)) for x, y in simplified[:, 0]]


def _clipped(network_input: NetworkInput, point: Point) -> Point:
    """A point of the network input on the stored image; padding beyond the image's edge is drawn back to the edge."""
    column, row = network_input.geometry.to_image(point)
    return (min(max(column, 0.0), float(network_input.columns)), min(max(row, 0.0), float(network_input.rows)))
