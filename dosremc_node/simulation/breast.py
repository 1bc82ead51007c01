"""The synthetic breast: outline, compressed thickness, glandular tissue, pectoral muscle; what X-rays lose on their way through.

Sources of the figures: power spectrum of breast tissue c / f**beta with beta 3.17 (CC) and 3.30 (MLO), anisotropic towards the
nipple by 5 and 22.5 degrees; linear attenuation of fat about 0.046 and of glandular tissue about 0.080 per mm (Beer-Lambert).

Everything is drawn with the chest wall on the left, in millimetres, so that the same woman can be seen at any pixel pitch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from dosremc_node.records import View
from dosremc_node.simulation.lesions import Field, Lesion, add_lesion

FIELD_HEIGHT_MM = 232.0
FIELD_WIDTH_MM = 176.0
GRID_MM = 0.5
ATTENUATION_OF_FAT = 0.046
ATTENUATION_OF_GLAND = 0.080
SPECTRUM_EXPONENT = {View.CC: 3.17, View.MLO: 3.30}
NIPPLE_ANGLE_DEGREES = {View.CC: 5.0, View.MLO: 22.5}


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One breast, compressed for one view. ``density`` is the glandular share of its middle (0..1); ``seed`` draws the tissue."""

    view: View
    half_height_mm: float
    depth_mm: float
    thickness_mm: float
    density: float
    seed: int
    lesions: tuple[Lesion, ...] = ()

    @property
    def nipple_mm(self) -> tuple[float, float]:
        """Where the nipple is: from the chest wall, from the upper border of the field."""
        return self.depth_mm, FIELD_HEIGHT_MM * (0.5 if self.view is View.CC else 0.6)


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """What reaches the detector: the line integral of the attenuation (0 in air), and where the breast is.

    Both have the shape (rows, columns); pixels are square, of ``pitch_mm``; the chest wall is on the left.
    """

    attenuation: Field
    breast: NDArray[np.bool_]
    pitch_mm: float


def expose(anatomy: Anatomy, pitch_mm: float) -> Exposure:
    """Compress the breast, send X-rays through it and sample them at ``pitch_mm``."""
    depth_inside = _depth_inside(anatomy)
    thickness = _thickness(depth_inside, anatomy.thickness_mm)
    gland = _gland(anatomy, depth_inside)
    total = thickness * (ATTENUATION_OF_FAT + (ATTENUATION_OF_GLAND - ATTENUATION_OF_FAT) * gland)
    total += _skin_and_nipple(anatomy, depth_inside)
    rows, columns = round(FIELD_HEIGHT_MM / pitch_mm), round(FIELD_WIDTH_MM / pitch_mm)
    attenuation = np.asarray(cv2.resize(np.asarray(total, np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC), np.float32)
    inside = cv2.resize(depth_inside, (columns, rows), interpolation=cv2.INTER_LINEAR) > 0
    _add_fine_texture(attenuation, anatomy.seed, pitch_mm)
    for lesion in anatomy.lesions:
        add_lesion(attenuation, lesion, pitch_mm)
    attenuation *= inside
    return Exposure(np.maximum(attenuation, 0), inside, pitch_mm)


def _millimetres() -> tuple[Field, Field]:
    rows, columns = round(FIELD_HEIGHT_MM / GRID_MM), round(FIELD_WIDTH_MM / GRID_MM)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    return (x + 0.5) * np.float32(GRID_MM), (y + 0.5) * np.float32(GRID_MM)


def _depth_inside(anatomy: Anatomy) -> Field:
    """How far each grid point lies inside the outline, in mm (below 0 outside)."""
    x, y = _millimetres()
    random = np.random.default_rng([anatomy.seed, 1])
    _, nipple_y = anatomy.nipple_mm
    offset = (y - nipple_y) / anatomy.half_height_mm
    exponent = np.where(offset < 0, 2.2, 2.0)
    if anatomy.view is View.MLO:
        # Towards the armpit an oblique view runs out in a long slope, below it is round.
        offset = np.where(offset < 0, offset * 0.62, offset * 1.12)
        exponent = np.where(offset < 0, 1.55, 2.1)
    inside = 1 - np.abs(offset) ** exponent - (x / anatomy.depth_mm) ** 2.1
    for harmonic in (1, 2, 3):
        inside += np.float32(0.018 * random.normal() / harmonic) * np.sin(harmonic * offset * 2.5 + np.float32(random.uniform(0, 6.3)))
    shape = (inside > 0).astype(np.uint8)
    # Smoothed, so that the outline shows no steps of the grid.
    depth = cv2.GaussianBlur(_distance(shape) - _distance(1 - shape), (0, 0), 2.0, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(depth, np.float32)


def _distance(shape: NDArray[np.uint8]) -> Field:
    """How far each grid point of the shape lies from its border, in mm. The chest wall is none: the detector ends there."""
    beyond = 40
    padded = cv2.copyMakeBorder(shape, beyond, beyond, beyond, 0, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[beyond:-beyond, beyond:] * GRID_MM, np.float32)


def _thickness(depth_inside: Field, compressed_mm: float) -> Field:
    """Constant under the paddle, rolling off to the skin over half the thickness."""
    roll = np.clip(1 - depth_inside / (0.5 * compressed_mm), 0, 1)
    return np.asarray(compressed_mm * np.sqrt(1 - roll**2), np.float32)


def _gland(anatomy: Anatomy, depth_inside: Field) -> Field:
    """The glandular share at each grid point (0..1): lobes behind the nipple, strands in the fat, and the pectoral muscle."""
    random = np.random.default_rng([anatomy.seed, 2])
    x, y = _millimetres()
    nipple_x, nipple_y = anatomy.nipple_mm
    lobes, strands, fibres = (_texture(anatomy.view, random) for _ in range(3))
    across = (y - nipple_y + 0.12 * (nipple_x - x)) / (0.72 * anatomy.half_height_mm)
    along = (nipple_x - x) / anatomy.depth_mm
    home = 1.15 - across**2 - 1.1 * (along - 0.42) ** 2 / 0.42
    lobe = _sigmoid(4.2 * (0.75 * home + 0.50 * lobes + 1.9 * anatomy.density - 1.45))
    strand = np.exp(-np.abs(strands) * 7) * (0.35 + 0.65 * _sigmoid(2 * fibres))
    fat = np.clip(depth_inside / 9.0, 0, 1)
    gland = fat * (0.92 * lobe * (0.72 + 0.17 * fibres) + 0.26 * strand * (1 - lobe)) + 0.05
    if anatomy.view is View.MLO:
        muscle = _pectoral(x, y, random)
        gland = gland * (1 - muscle) + muscle * (0.86 + 0.05 * fibres)
    return np.asarray(np.clip(gland, 0, 1), np.float32)


def _pectoral(x: Field, y: Field, random: np.random.Generator) -> Field:
    """The muscle's share at each grid point: a triangle in the upper corner at the chest wall, slightly bulging."""
    width, height = random.uniform(38, 62), random.uniform(95, 150)
    bulge = 7 * np.sin(np.pi * np.clip(y / height, 0, 1))
    return _sigmoid((width * (1 - y / height) + bulge - x) / 1.2)


def _skin_and_nipple(anatomy: Anatomy, depth_inside: Field) -> Field:
    """The skin, seen edge-on near the outline, and the nipple."""
    x, y = _millimetres()
    nipple_x, nipple_y = anatomy.nipple_mm
    skin = 0.10 * np.exp(-(((depth_inside - 1.2) / 0.9) ** 2)) * (depth_inside > 0)
    nipple = 0.30 * np.exp(-(((x - nipple_x + 4) / 4.0) ** 2) - ((y - nipple_y) / 4.5) ** 2)
    return np.asarray(skin + nipple * (depth_inside > 0), np.float32)


def _texture(view: View, random: np.random.Generator) -> Field:
    """A random field of unit variance with the power spectrum of breast tissue."""
    amplitude = _spectrum(view)
    white = random.standard_normal(amplitude.shape, dtype=np.float32)
    spectrum = cv2.dft(white, flags=cv2.DFT_COMPLEX_OUTPUT)
    field = cv2.dft(spectrum * amplitude[:, :, None], flags=cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE)
    rows, columns = round(FIELD_HEIGHT_MM / GRID_MM), round(FIELD_WIDTH_MM / GRID_MM)
    field = field[:rows, :columns]
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), np.float32)


@lru_cache(maxsize=4)
def _spectrum(view: View) -> Field:
    """The amplitude spectrum 1 / f**(beta / 2), stretched towards the nipple, flat below one cycle in 60 mm."""
    rows = cv2.getOptimalDFTSize(round(FIELD_HEIGHT_MM / GRID_MM))
    columns = cv2.getOptimalDFTSize(round(FIELD_WIDTH_MM / GRID_MM))
    fy = np.fft.fftfreq(rows, GRID_MM)[:, None]
    fx = np.fft.fftfreq(columns, GRID_MM)[None, :]
    angle = np.deg2rad(NIPPLE_ANGLE_DEGREES[view])
    along = fx * np.cos(angle) + fy * np.sin(angle)
    across = fy * np.cos(angle) - fx * np.sin(angle)
    frequency = np.sqrt((1.35 * along) ** 2 + (across / 1.35) ** 2 + (1 / 60) ** 2)
    return np.asarray(frequency ** (-SPECTRUM_EXPONENT[view] / 2), np.float32)


def _add_fine_texture(attenuation: Field, seed: int, pitch_mm: float) -> None:
    """Detail below the grid: it vanishes where pixels are coarse, as it would in a detector."""
    random = np.random.default_rng([seed, 3])
    for width_mm, strength in ((0.35, 0.012), (0.16, 0.008)):
        white = random.standard_normal(attenuation.shape, dtype=np.float32)
        sigma = width_mm / pitch_mm
        # White noise blurred by sigma keeps 1 / (2 sigma sqrt(pi)) of its deviation.
        gain = max(1.0, 2 * sigma * np.sqrt(np.pi)) * min(1.0, sigma)
        attenuation += np.float32(strength * gain) * cv2.GaussianBlur(white, (0, 0), max(sigma, 0.3))


def _sigmoid(value: NDArray[np.floating]) -> Field:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -30, 30))), np.float32)
