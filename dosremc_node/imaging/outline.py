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

_AIR_NOISE = 0.36
"""Air varies at most this much (median deviation) of what lies between it and the threshold; fat that is taken for air varies more."""

_SMALLEST_AIR = 0.02
_SMALLEST_BACKGROUND = 0.2
_EVEN = 0.05
_FRAME = 0.06
_NEAR = 0.03
_SATURATED = 0.97
_SMALLEST_SHARE = 0.02
_LARGEST_SHARE = 0.97
_SMALLEST_CONTACT = 0.12
_SMALLEST_SOLIDITY = 0.6
_RECTANGLE = 0.97
_STRAIGHT = 0.6


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
    grey = _on_dark_background(grey)
    smooth = _smoothed(grey)
    bright = _above_air(smooth)
    outside = _burnt_corners(grey, smooth, bright) | ~_inside_frame(bright)
    mask = _largest_region(bright & ~outside)
    outline = Outline(mask, _contacts(mask, outside))
    _check(outline, ~outside)
    return outline


def _smoothed(grey: _Grey) -> _Grey:
    smooth = np.asarray(cv2.medianBlur(grey, 5), dtype=np.float32)
    if float(smooth.max()) - float(smooth.min()) < 0.02:
        raise NotAMammogram(why="it is blank")
    return smooth


def _on_dark_background(grey: _Grey) -> _Grey:
    """The copy with a bright background painted black: padding all around the breast that the header does not declare.

    Where the background is bright because the grey scale is upside down, tissue darkens from the skin inwards, and the image is refused.
    """
    smooth = _smoothed(grey)
    background = _bright_background(smooth)
    if not background.any():
        return grey
    depth = cv2.distanceTransform((~background).astype(np.uint8), cv2.DIST_L2, 3)
    rim, core = (smooth[mask] for mask in ((depth > 2) & (depth <= 5), depth > 10))
    if not core.size or float(np.median(rim)) >= float(np.median(core)):
        raise NotAMammogram(
            why="it is dark on a bright ground, as a page of text, an image for processing, or one whose header names the wrong polarity"
        )
    return np.where(cv2.dilate(background.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0, smooth.min(), grey)


def _bright_background(smooth: _Grey) -> _Mask:
    """The largest even bright area, if it is large, reaches two corners, and leaves more than a straight field free."""
    kernel = np.ones((5, 5), np.uint8)
    low, high = float(smooth.min()), float(smooth.max())
    even = cv2.dilate(smooth, kernel) - cv2.erode(smooth, kernel) < _EVEN * (high - low)
    _, labels = cv2.connectedComponents((even & (smooth > 0.5 * (low + high))).astype(np.uint8))
    corners = [int(labels[row, column]) for row in (2, -3) for column in (2, -3)]
    label = max(set(corners) - {0}, key=corners.count, default=0)
    background = np.asarray(labels == label, dtype=np.bool_)
    is_large = label > 0 and corners.count(label) >= 2 and background.mean() >= _SMALLEST_BACKGROUND
    is_flat = is_large and float(np.ptp(np.percentile(smooth[background], (5, 95)))) < 2 * _EVEN * (high - low)
    return background if is_flat and _fill(~background) < _RECTANGLE else np.zeros_like(background)


def _above_air(smooth: _Grey) -> _Mask:
    """What is brighter than the air around the breast.

    Otsu's threshold on the square root, which spreads the dark end: on the grey itself it would part dense tissue from fat, not breast from air.
    Where the darker part still varies as fat does, it is parted once more. Raises `NotAMammogram` where no air is found.
    """
    low, high = float(smooth.min()), float(np.percentile(smooth, 99.5))
    scaled = np.sqrt(np.clip((smooth - low) / max(high - low, 1e-6), 0.0, 1.0))
    levels = np.rint(scaled * 255).astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    slope = cv2.dilate(levels, kernel) - cv2.erode(levels, kernel)
    darker = np.ones_like(levels, dtype=np.bool_)
    for _ in range(3):
        threshold, _ = cv2.threshold(levels[darker], 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        darker = levels <= threshold
        middle = float(np.median(levels[darker]))
        noise = float(np.median(np.abs(levels[darker] - middle)))
        # Air is one level, or several even ones where a paddle or collimator shows.
        is_air = noise <= _AIR_NOISE * (threshold - middle) or float(np.median(slope[darker])) <= 1
        if is_air and darker.mean() >= _SMALLEST_AIR:
            # Otsu's threshold lies well inside the skin line: halfway down to the air is nearer to it, if the noise of the air allows.
            return np.asarray(levels > middle + max(0.5 * (threshold - middle), min(6.0 * noise, threshold - middle)))
    raise NotAMammogram(why="there is no air around the breast, as in a scout or a cut-out")


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
    contacts = _contacts_within(mask, outside, near)
    if _touches(contacts, mask.shape, _SMALLEST_CONTACT):
        return contacts
    # A black border may lie before the chest wall, which then is the straight side.
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    cut = np.ascontiguousarray(mask[top : top + height, left : left + width])
    straight = _contacts_within(cut, np.zeros_like(cut), 2)
    return straight if _touches(straight, cut.shape, _STRAIGHT) else contacts


def _touches(contacts: tuple[int, int, int, int], shape: tuple[int, ...], share: float) -> bool:
    """Whether any contact is at least this share of its edge."""
    return any(contact >= share * length for contact, length in zip(contacts, shape * 2, strict=True))


def _contacts_within(mask: _Mask, outside: _Mask, near: int) -> tuple[int, int, int, int]:
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
    """Refuse what has no breast's shape: too small, all over the image, a rectangle, touching no edge, or ragged as text is."""
    share = float(outline.mask[inside].mean())
    if share < _SMALLEST_SHARE:
        raise NotAMammogram(why="its largest bright region is too small")
    if share > _LARGEST_SHARE:
        raise NotAMammogram(why="there is no air around the breast, as in a scout or a cut-out")
    if _fill(outline.mask) > _RECTANGLE:
        raise NotAMammogram(why="its largest bright region is a rectangle, as a collimated field, a phantom or a panel of text is")
    if not _touches(outline.contacts, inside.shape, _SMALLEST_CONTACT):
        raise NotAMammogram(why="its largest bright region touches no edge, as a chest wall would")
    if _solidity(outline.mask) < _SMALLEST_SOLIDITY:
        raise NotAMammogram(why="its largest bright region is too ragged")


def _fill(mask: _Mask) -> float:
    """The area as a share of the upright rectangle around it; 0 where it is empty."""
    _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return float(mask.sum()) / max(1, width * height)


def _solidity(mask: _Mask) -> float:
    """The area as a share of the convex hull's."""
    points = cv2.findNonZero(mask.astype(np.uint8))
    return float(mask.sum()) / max(1.0, float(cv2.contourArea(cv2.convexHull(points))))
