"""Where the breast is: found on a small copy of the image, robust against what films and workstations put around it.

The air is dark here: the grey scale has made breast bright and padding black. What else is bright and is no breast: the white frame and
light leaks of digitised films, labels and burned-in text, a strip of the other breast or of the abdomen.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dosremc_node.errors import NotAMammogram

CROP = "breast outline, aspect kept, chest wall at the edge, centred along it"
"""The rule for the region of interest, as the preprocessing specification names it.

The aspect is kept, because the shape of a lesion and the direction of its spicules are signs of disease; what remains of the input is filled up.
"""

SMALL = 320
"""The longest side, in pixels, of the copy on which the outline is searched."""

_Mask = NDArray[np.bool_]
_Grey = NDArray[np.float32]

_FRAME = 0.06
_NEAR = 0.03
_SATURATED = 0.97
_SMALLEST_SHARE = 0.02
_LARGEST_SHARE = 0.97
_SMALLEST_CONTACT = 0.12
_SMALLEST_SOLIDITY = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """``mask`` is the breast on the small copy.

    ``contacts`` is how many pixels of the left, top, right and bottom edge it touches; where a film's frame or a burnt area lies before
    the edge, that counts as the edge.
    """

    mask: _Mask
    contacts: tuple[int, int, int, int]


def find_breast(grey: _Grey) -> Outline:
    """Find the breast on a small grey copy (float32 in 0..1, shape about `SMALL`). Raises `NotAMammogram`."""
    smooth = np.asarray(cv2.medianBlur(grey, 5), dtype=np.float32)
    if float(smooth.max()) - float(smooth.min()) < 0.02:
        raise NotAMammogram(why="it is blank")
    bright = _above_air(smooth)
    outside = _burnt_corners(grey, smooth, bright) | ~_inside_frame(bright)
    mask = _largest_region(bright & ~outside)
    outline = Outline(mask, _contacts(mask, outside))
    _check(outline, ~outside)
    return outline


def _above_air(smooth: _Grey) -> _Mask:
    """What is brighter than the air around the breast.

    Otsu's threshold on the square root, which spreads the dark end: on the grey itself it would part dense tissue from fat, not breast from air.
    """
    low, high = float(smooth.min()), float(np.percentile(smooth, 99.5))
    scaled = np.sqrt(np.clip((smooth - low) / max(high - low, 1e-6), 0.0, 1.0))
    levels = np.rint(scaled * 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    air = levels[levels <= threshold]
    middle = float(np.median(air))
    noise = float(np.median(np.abs(air - middle)))
    # Otsu's threshold lies well inside the skin line: halfway down to the air is nearer to it, if the noise of the air allows.
    return np.asarray(levels > middle + max(0.5 * (threshold - middle), min(6.0 * noise, threshold - middle)))


def _inside_frame(bright: _Mask) -> _Mask:
    """What lies inside a film's frame: edge strips that are bright nearly all along, and end where something darker begins."""
    rows, columns = bright.shape
    across, along = bright.mean(axis=0), bright.mean(axis=1)
    inside = np.zeros_like(bright)
    inside[_strip(along) : rows - _strip(along[::-1]), _strip(across) : columns - _strip(across[::-1])] = True
    return inside


def _strip(shares: NDArray[np.floating]) -> int:
    """The width of the bright strip at the beginning of a profile of bright shares; 0 where there is none.

    A strip ends abruptly; a breast at that edge tapers off.
    """
    reach = max(2, int(shares.size * _FRAME))
    ends = [position + 2 for position in range(reach) if shares[position] > 0.6 and shares[position] - shares[position + 2] > 0.25]
    return max(ends, default=0)


def _burnt_corners(grey: _Grey, smooth: _Grey, bright: _Mask) -> _Mask:
    """Saturated or perfectly even bright areas that touch a corner: light leaks, unexposed film, padding that the header does not declare.

    The pectoral muscle has texture, and an implant touches no corner.
    """
    kernel = np.ones((3, 3), np.uint8)
    even = cv2.dilate(grey, kernel) == cv2.erode(grey, kernel)
    white = (smooth >= _SATURATED * float(smooth.max())) | (even & bright)
    _, labels = cv2.connectedComponents(white.astype(np.uint8))
    corners = {int(labels[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    burnt = np.isin(labels, list(corners)).astype(np.uint8)
    return np.asarray(cv2.dilate(burnt, np.ones((7, 7), np.uint8)), dtype=np.bool_)


def _largest_region(mask: _Mask) -> _Mask:
    """The largest connected region after an opening that cuts off labels, thin bridges and strips along an edge, with its holes filled."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    # Outside is nothing: without this border the opening would take a strip along the edge for the side of something large.
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 9, 9, 9, 9, cv2.BORDER_CONSTANT, value=0)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc)[9:-9, 9:-9]
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(opened))
    if count < 2:
        raise NotAMammogram(why="there is no region large enough to be one")
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    region = (labels == largest).astype(np.uint8)
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(region), contours, -1, 1, cv2.FILLED), dtype=np.bool_)


def _contacts(mask: _Mask, outside: _Mask) -> tuple[int, int, int, int]:
    near = max(2, round(_NEAR * max(mask.shape)))
    return (
        _contact(mask, outside, near),
        _contact(mask.T, outside.T, near),
        _contact(mask[:, ::-1], outside[:, ::-1], near),
        _contact(mask.T[:, ::-1], outside.T[:, ::-1], near),
    )


def _contact(mask: _Mask, outside: _Mask, near: int) -> int:
    """In how many rows the mask comes as near as that to what is outside on its left."""
    columns = np.arange(mask.shape[1])
    last_outside = np.maximum.accumulate(np.where(outside, columns, -1), axis=1)
    return int((mask & (columns - last_outside <= near)).any(axis=1).sum())


def _check(outline: Outline, inside: _Mask) -> None:
    """Refuse what has no breast's shape: too small, all over the image, touching no edge, or ragged as text is."""
    share = float(outline.mask[inside].mean())
    if share < _SMALLEST_SHARE:
        raise NotAMammogram(why="its largest bright region is too small")
    if share > _LARGEST_SHARE:
        raise NotAMammogram(why="there is no air around the breast, as in a scout or a cut-out")
    heights_and_widths = inside.shape * 2
    if all(contact < _SMALLEST_CONTACT * length for contact, length in zip(outline.contacts, heights_and_widths, strict=True)):
        raise NotAMammogram(why="its largest bright region touches no edge, as a chest wall would")
    if _solidity(outline.mask) < _SMALLEST_SOLIDITY:
        raise NotAMammogram(why="its largest bright region is too ragged")


def _solidity(mask: _Mask) -> float:
    """The area as a share of the convex hull's."""
    points = cv2.findNonZero(mask.astype(np.uint8))
    return float(mask.sum()) / max(1.0, float(cv2.contourArea(cv2.convexHull(points))))
