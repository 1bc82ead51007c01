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
    """``mask`` is the breast on the small copy; ``frame`` (left, top, right, bottom) is what remains there inside a film's white frame."""

    mask: _Mask
    frame: tuple[int, int, int, int]

    @property
    def contacts(self) -> tuple[int, int, int, int]:
        """How many pixels of the frame's left, top, right and bottom edge the breast touches, or nearly: a burnt strip may lie between."""
        left, top, right, bottom = self.frame
        inside = self.mask[top:bottom, left:right]
        near = max(2, round(_NEAR * max(self.mask.shape)))
        edges = (inside[:, :near].any(axis=1), inside[:near].any(axis=0), inside[:, -near:].any(axis=1), inside[-near:].any(axis=0))
        counts = [int(edge.sum()) for edge in edges]
        return (counts[0], counts[1], counts[2], counts[3])


def find_breast(grey: _Grey) -> Outline:
    """Find the breast on a small grey copy (float32 in 0..1, shape about `SMALL`). Raises `NotAMammogram`."""
    smooth = np.asarray(cv2.medianBlur(grey, 5), dtype=np.float32)
    if float(smooth.max()) - float(smooth.min()) < 0.02:
        raise NotAMammogram(why="it is blank")
    bright = _above_air(smooth)
    frame = _inside_frame(bright)
    candidates = _only_inside(bright & ~_burnt_corners(smooth), frame)
    mask = _largest_region(candidates)
    outline = Outline(mask, frame)
    _check(outline)
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


def _inside_frame(bright: _Mask) -> tuple[int, int, int, int]:
    """The box inside a film's frame: edge strips that are bright nearly all along, and end where something darker begins."""
    rows, columns = bright.shape
    across, along = bright.mean(axis=0), bright.mean(axis=1)
    return (_strip(across), _strip(along), columns - _strip(across[::-1]), rows - _strip(along[::-1]))


def _strip(shares: NDArray[np.floating]) -> int:
    """The width of the bright strip at the beginning of a profile of bright shares; 0 where there is none.

    A strip ends abruptly; a breast at that edge tapers off.
    """
    reach = max(2, int(shares.size * _FRAME))
    ends = [position + 2 for position in range(reach) if shares[position] > 0.6 and shares[position] - shares[position + 2] > 0.25]
    return max(ends, default=0)


def _burnt_corners(smooth: _Grey) -> _Mask:
    """Saturated areas that touch a corner: light leaks and unexposed film. The pectoral muscle has texture, an implant touches no corner."""
    white = (smooth >= _SATURATED * float(smooth.max())).astype(np.uint8)
    _, labels = cv2.connectedComponents(white)
    corners = {int(labels[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    burnt = np.isin(labels, list(corners)).astype(np.uint8)
    return np.asarray(cv2.dilate(burnt, np.ones((7, 7), np.uint8)), dtype=np.bool_)


def _only_inside(mask: _Mask, frame: tuple[int, int, int, int]) -> _Mask:
    left, top, right, bottom = frame
    inside = np.zeros_like(mask)
    inside[top:bottom, left:right] = mask[top:bottom, left:right]
    return inside


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


def _check(outline: Outline) -> None:
    """Refuse what has no breast's shape: too small, all over the image, touching no edge, or ragged as text is."""
    left, top, right, bottom = outline.frame
    share = float(outline.mask[top:bottom, left:right].mean())
    if share < _SMALLEST_SHARE:
        raise NotAMammogram(why="its largest bright region is too small")
    if share > _LARGEST_SHARE:
        raise NotAMammogram(why="there is no air around the breast, as in a scout or a cut-out")
    lengths = (bottom - top, right - left, bottom - top, right - left)
    if all(contact < _SMALLEST_CONTACT * length for contact, length in zip(outline.contacts, lengths, strict=True)):
        raise NotAMammogram(why="its largest bright region touches no edge, as a chest wall would")
    if _solidity(outline.mask) < _SMALLEST_SOLIDITY:
        raise NotAMammogram(why="its largest bright region is too ragged")


def _solidity(mask: _Mask) -> float:
    """The area as a share of the convex hull's."""
    points = cv2.findNonZero(mask.astype(np.uint8))
    return float(mask.sum()) / max(1.0, float(cv2.contourArea(cv2.convexHull(points))))
