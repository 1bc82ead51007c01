"""Half precision: a session whose inside is rounded to 16 bits, and the proof that its scores stay where the release wants them."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.transformers.float16 import convert_float_to_float16

PROBES = 8
_SEED = 20250822
_COARSENESS = (1.0, 2.0, 4.0, 8.0)


def to_half_precision(model: bytes) -> bytes:
    """The serialised graph with weights and values of 16 bits; what goes in and comes out remains float32."""
    with warnings.catch_warnings():
        # It tells of every weight that becomes zero or goes to an end of the range; what that does to scores is measured.
        warnings.simplefilter("ignore", UserWarning)
        converted = convert_float_to_float16(onnx.load_model_from_string(model), keep_io_types=True)
    return bytes(converted.SerializeToString())


def probes(height: int, width: int) -> list[NDArray[np.float32]]:
    """Images to compare two sessions on, the same ones for ever, (1, 1, height, width).

    Textures from fine to coarse inside half an ellipse, normalised as the preprocessing does it: no breast, but of a breast's values.
    """
    random = np.random.default_rng(_SEED)
    row, column = np.mgrid[:height, :width]
    breast = ((row - height / 2) / (0.45 * height)) ** 2 + (column / (0.8 * width)) ** 2 < 1
    return [_texture(random, breast, _COARSENESS[number % len(_COARSENESS)]) for number in range(PROBES)]


def _texture(random: np.random.Generator, breast: NDArray[np.bool_], coarseness: float) -> NDArray[np.float32]:
    texture = np.asarray(cv2.GaussianBlur(random.normal(size=breast.shape), (0, 0), coarseness))
    inside = texture[breast]
    image = np.zeros(breast.shape, np.float32)
    image[breast] = (inside - inside.mean()) / inside.std()
    return image[np.newaxis, np.newaxis]
