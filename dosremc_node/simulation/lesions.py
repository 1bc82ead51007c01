"""Lesions as attenuation: spiculated masses and clusters of microcalcifications (malignant), smooth ovals (benign)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


class LesionKind(StrEnum):
    """What a lesion is made of, and so whether it is malignant."""

    SPICULATED_MASS = "spiculated mass"
    CLUSTER = "cluster of microcalcifications"
    OVAL_MASS = "oval mass"

    @property
    def malignant(self) -> bool:
        return self is not LesionKind.OVAL_MASS


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion in one view: ``x_mm`` from the chest wall, ``y_mm`` from the upper border of the field."""

    kind: LesionKind
    x_mm: float
    y_mm: float
    radius_mm: float
    conspicuity: float
    seed: int


def add_lesion(attenuation: Field, lesion: Lesion, pitch_mm: float) -> None:
    """Add the lesion to ``attenuation`` (line integral, shape (rows, columns), square pixels of ``pitch_mm``) in place."""
    reach = round(3.2 * lesion.radius_mm / pitch_mm) + 2
    column, row = round(lesion.x_mm / pitch_mm), round(lesion.y_mm / pitch_mm)
    rows, columns = attenuation.shape
    top, bottom = max(0, row - reach), min(rows, row + reach + 1)
    left, right = max(0, column - reach), min(columns, column + reach + 1)
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    x_mm = (x + 0.5) * np.float32(pitch_mm) - np.float32(lesion.x_mm)
    y_mm = (y + 0.5) * np.float32(pitch_mm) - np.float32(lesion.y_mm)
    draw = {LesionKind.SPICULATED_MASS: _spiculated, LesionKind.CLUSTER: _cluster, LesionKind.OVAL_MASS: _oval}[lesion.kind]
    attenuation[top:bottom, left:right] += lesion.conspicuity * draw(x_mm, y_mm, lesion, pitch_mm)


def _spiculated(x_mm: Field, y_mm: Field, lesion: Lesion, pitch_mm: float) -> Field:
    """An irregular core with straight, tapering spicules that run out into the tissue around it."""
    random = np.random.default_rng(lesion.seed)
    core = _blob(x_mm, y_mm, lesion.radius_mm, wobble=0.24, softness=0.30, random=random)
    spicules = np.zeros_like(core)
    for angle in np.linspace(0, 2 * np.pi, random.integers(13, 22), endpoint=False) + random.normal(0, 0.15):
        direction = angle + random.normal(0, 0.14)
        length = lesion.radius_mm * random.uniform(1.5, 2.9)
        along = x_mm * np.cos(direction) + y_mm * np.sin(direction)
        across = y_mm * np.cos(direction) - x_mm * np.sin(direction)
        across += np.float32(random.normal(0, 0.012)) * along**2
        width = _seen_width(random.uniform(0.35, 0.7), pitch_mm)
        taper = np.clip(1 - along / length, 0, 1) * (along > 0)
        np.maximum(spicules, taper * np.exp(-0.5 * (across / width) ** 2) * np.float32(0.5 / width), out=spicules)
    return np.asarray(0.26 * core + 0.22 * spicules, np.float32)


def _oval(x_mm: Field, y_mm: Field, lesion: Lesion, pitch_mm: float) -> Field:
    """A smooth, well defined ellipse."""
    del pitch_mm  # its border is wider than any pixel
    random = np.random.default_rng(lesion.seed)
    angle, ratio = random.uniform(0, np.pi), random.uniform(0.62, 0.92)
    along = x_mm * np.cos(angle) + y_mm * np.sin(angle)
    across = (y_mm * np.cos(angle) - x_mm * np.sin(angle)) / ratio
    return np.asarray(0.20 * _blob(along, across, lesion.radius_mm, wobble=0.03, softness=0.08, random=random), np.float32)


def _cluster(x_mm: Field, y_mm: Field, lesion: Lesion, pitch_mm: float) -> Field:
    """Specks of 0.2 to 0.6 mm on a faint density; a speck's integral is the same at every pixel pitch."""
    random = np.random.default_rng(lesion.seed)
    total = 0.05 * _blob(x_mm, y_mm, 1.3 * lesion.radius_mm, wobble=0.2, softness=0.5, random=random)
    for _ in range(random.integers(12, 26)):
        at = np.clip(random.normal(0, 0.42, 2), -1, 1) * lesion.radius_mm
        size = random.uniform(0.2, 0.6)
        width = _seen_width(size, pitch_mm)
        squared = (x_mm - np.float32(at[0])) ** 2 + (y_mm - np.float32(at[1])) ** 2
        total += np.float32(random.uniform(0.2, 0.55) * (size / width) ** 2) * np.exp(-squared / (2 * width**2))
    return np.asarray(total, np.float32)


def _seen_width(width_mm: float, pitch_mm: float) -> float:
    """The Gaussian width of a structure after a pixel has averaged it."""
    return float(np.hypot(width_mm / 2, pitch_mm / np.sqrt(12)))


def _blob(x_mm: Field, y_mm: Field, radius_mm: float, *, wobble: float, softness: float, random: np.random.Generator) -> Field:
    """A round body of unit height whose border wobbles: a sphere's chord, softened at the border."""
    angle = np.arctan2(y_mm, x_mm)
    border = np.ones_like(angle)
    for harmonic in range(2, 8):
        border += np.float32(wobble * random.normal() / harmonic**0.8) * np.cos(harmonic * angle + np.float32(random.uniform(0, 6.283)))
    distance = np.hypot(x_mm, y_mm) / (radius_mm * np.clip(border, 0.45, 1.6))
    chord = np.sqrt(np.clip(1 - (distance / 1.08) ** 2, 0, None))
    soft = cv2.GaussianBlur(np.asarray(chord, np.float32), (0, 0), 1 + 4 * softness)
    return np.asarray(soft if softness > 0.2 else chord, np.float32)
