"""Saliency maps as bytes: a PNG of 16 bits, which any viewer opens."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LEVELS = 65535


def encode_saliency(saliency: NDArray[np.float32]) -> bytes:
    """A map of values in 0..1, shape (h, w), as a PNG; values are kept to 1 in 65535."""
    levels = np.rint(np.clip(saliency, 0.0, 1.0) * LEVELS).astype(np.uint16)
    _, encoded = cv2.imencode(".png", levels)
    return encoded.tobytes()


def decode_saliency(content: bytes) -> NDArray[np.float32]:
    """The map that `encode_saliency` made, float32 in 0..1, shape (h, w); raises `ValueError` for anything else."""
    levels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if levels is None or levels.dtype != np.uint16 or levels.ndim != 2:
        raise ValueError("not a saliency map: a grey PNG of 16 bits was expected")
    return levels.astype(np.float32) / np.float32(LEVELS)
