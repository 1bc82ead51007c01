"""A view as a picture with the result burnt in: grey image, heat map with its legend, outlines, score and the words that go with it."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from dosremc_node.records import ImageScore, InputGeometry, NetworkInput, Picture, Point
from dosremc_node.reporting.wording import RESEARCH_USE, percent, plain

Colours = NDArray[np.uint8]
"""Shape (height, width, 3), red, green, blue."""

VIEW_HEIGHT: Final = 1280
"""Pixels from top to bottom of the view itself: a workstation's screen shows it whole."""
MARGIN: Final = 130
LINE_HEIGHT: Final = 34
CYAN: Final = (0, 255, 255)
"""No colour of the heat map, and none of the breast."""
WHITE: Final = (255, 255, 255)
_STRONGEST: Final = 0.45
"""How much of the most salient pixel is colour: what lies below must still be seen."""
_DARKEST, _BRIGHTEST = 0.5, 99.8
"""Percentiles of the breast's grey values that become black and white."""


def draw(picture: Picture, score: ImageScore, statement: str) -> Colours:
    """The view as the image has it, not turned, under a line with the score and over one that says what it may be used for."""
    view = _as_stored(_with_heat(picture), picture.image)
    scale = view.shape[0] / picture.image.rows
    for finding in score.findings:
        _outline(view, [(x * scale, y * scale) for x, y in finding.outline], percent(finding.probability))
    view = np.hstack([view, _legend(view.shape[0])])
    above = f"AI {score.laterality} {score.view}: probability of cancer {percent(score.probability)}"
    return np.vstack([_band(above, view.shape[1]), view, _band(f"{RESEARCH_USE} {plain(statement)}", view.shape[1])])


def _with_heat(picture: Picture) -> Colours:
    breast = picture.image.breast
    saliency = cv2.resize(picture.saliency, breast.shape[::-1], interpolation=cv2.INTER_LINEAR)
    heat = np.where(breast, saliency, 0.0)
    heat = heat / heat.max() if heat.max() > 0 else heat
    share = (_STRONGEST * heat)[..., np.newaxis]
    grey = _grey(picture.image)[..., np.newaxis]
    return np.rint((1.0 - share) * grey + share * _colours(heat)).astype(np.uint8)


def _grey(image: NetworkInput) -> NDArray[np.float64]:
    """Grey values 0..255; what is not the breast is black."""
    inside = image.pixels[image.breast]
    if not inside.size:
        return np.zeros(image.pixels.shape)
    dark, bright = np.percentile(inside, (_DARKEST, _BRIGHTEST))
    grey = (image.pixels - dark) / max(float(bright - dark), 1e-6)
    return np.where(image.breast, 255.0 * np.clip(grey, 0.0, 1.0), 0.0)


def _colours(heat: NDArray[np.float64]) -> Colours:
    levels = np.rint(255.0 * heat).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1])


def _as_stored(drawn: Colours, image: NetworkInput) -> Colours:
    """The picture turned back and laid into the whole of the stored image, `VIEW_HEIGHT` pixels high."""
    scale = VIEW_HEIGHT / image.rows
    size = (max(1, round(image.columns * scale)), VIEW_HEIGHT)
    laid = cv2.warpAffine(drawn, to_view(image.geometry, scale), size, flags=cv2.INTER_LINEAR)
    return np.ascontiguousarray(laid, dtype=np.uint8)


def to_view(geometry: InputGeometry, scale: float) -> NDArray[np.float64]:
    """From pixel to pixel as OpenCV counts them: it puts 0,0 at the centre of the first, DICOM at its corner."""
    turn = scale * np.array([[geometry.a, geometry.b], [geometry.d, geometry.e]])
    shift = scale * np.array([geometry.c, geometry.f]) + turn @ (0.5, 0.5) - 0.5
    return np.column_stack([turn, shift])


def _outline(view: Colours, points: list[Point], label: str) -> None:
    corners = np.rint(points).astype(np.int32)
    cv2.polylines(view, [corners], True, CYAN, 2, cv2.LINE_AA)
    left, top = int(corners[:, 0].min()), int(corners[:, 1].min())
    width = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.8, 2)[0][0]
    _write(view, label, (max(0, min(left, view.shape[1] - width)), max(24, top - 10)), CYAN)


def _legend(height: int) -> Colours:
    """The colours from the most salient part of the breast, above, to the least."""
    legend = np.zeros((height, MARGIN, 3), np.uint8)
    levels = np.linspace(1.0, 0.0, height // 3)[:, np.newaxis].repeat(24, axis=1)
    top = height // 3
    legend[top : top + len(levels), 20:44] = _colours(levels)
    for words, row in (("Heat map", top - 16), ("most", top + 20), ("least", top + len(levels))):
        _write(legend, words, (4 if row < top else 52, row), WHITE, 0.6)
    return legend


def _band(text: str, width: int) -> Colours:
    lines = _wrapped(text, width)
    band = np.zeros((LINE_HEIGHT * len(lines) + 10, width, 3), np.uint8)
    for number, line in enumerate(lines, start=1):
        _write(band, line, (8, LINE_HEIGHT * number - 6), WHITE)
    return band


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and cv2.getTextSize(longer, cv2.FONT_HERSHEY_SIMPLEX, 0.8, 2)[0][0] > width - 16:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _write(image: Colours, words: str, at: tuple[int, int], colour: tuple[int, int, int], size: float = 0.8) -> None:
    """In colour with a black edge, to be read on any ground."""
    for thickness, each in ((4, (0, 0, 0)), (2, colour)):
        cv2.putText(image, words, at, cv2.FONT_HERSHEY_SIMPLEX, size, each, thickness, cv2.LINE_AA)
