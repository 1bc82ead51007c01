"""From X-rays to the stored pixels of one vendor: quantum noise, detector, processing for presentation, quantisation, orientation."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dosremc_node.records import Laterality
from dosremc_node.simulation.breast import Exposure
from dosremc_node.simulation.lesions import Field
from dosremc_node.simulation.vendors import Vendor

StoredPixels = NDArray[np.uint16]


def process(exposure: Exposure, vendor: Vendor, laterality: Laterality, seed: int) -> StoredPixels:
    """The image For Presentation as the vendor stores it: uint16 of shape (rows, columns), padded, flipped and turned."""
    signal = _detect(exposure, vendor, seed)
    signal = _equalise(signal, exposure, vendor.equalisation)
    if vendor.sharpening:
        signal = signal + np.float32(vendor.sharpening) * (signal - _blur(signal, vendor.sharpening_mm, exposure.pitch_mm))
    grey = _curve(signal, exposure.breast, vendor)
    pixels = np.rint(vendor.black + (vendor.white - vendor.black) * grey).astype(np.uint16)
    return orient(_pad(pixels, vendor, exposure.pitch_mm), vendor, laterality)


def orient(pixels: StoredPixels, vendor: Vendor, laterality: Laterality) -> StoredPixels:
    """Turn an image with the chest wall on the left to how the vendor stores that side."""
    if chest_wall_right(vendor, laterality):
        pixels = pixels[:, ::-1]
    if vendor.rotated:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def chest_wall_right(vendor: Vendor, laterality: Laterality) -> bool:
    """Whether the stored image has its chest wall on the right: the right breast has, unless mirrored; a turned one is opposite."""
    right = laterality is Laterality.RIGHT and laterality not in vendor.mirrored
    return right != vendor.rotated


def stored_position(vendor: Vendor, laterality: Laterality, position: tuple[float, float], shape: tuple[int, int]) -> tuple[float, float]:
    """Where a point lies in the stored image, of ``shape`` (rows, columns): from (column, row) with the chest wall on the left."""
    column, row = position
    rows, columns = shape
    return (columns - column if chest_wall_right(vendor, laterality) else column, rows - row if vendor.rotated else row)


def _detect(exposure: Exposure, vendor: Vendor, seed: int) -> Field:
    """The logarithm of the detector's signal with its noise: what is left of Poisson statistics after some blur."""
    random = np.random.default_rng([seed, 4])
    photons = vendor.photons_per_mm2 * exposure.pitch_mm**2 * np.exp(-exposure.attenuation)
    white = random.standard_normal(exposure.attenuation.shape, dtype=np.float32)
    if vendor.grain_mm:
        white = _grain(white, vendor.grain_mm / exposure.pitch_mm)
    noise = white * np.float32(vendor.noise_gain) / np.sqrt(photons)
    return _blur(np.asarray(exposure.attenuation + noise, np.float32), vendor.blur_mm, exposure.pitch_mm)


def _grain(white: Field, sigma: float) -> Field:
    """Correlate half of the noise over ``sigma`` pixels; its power at low frequencies stays what it was."""
    return np.asarray(0.5 * white + cv2.GaussianBlur(white, (0, 0), max(sigma, 0.3)), np.float32)


def _blur(signal: Field, width_mm: float, pitch_mm: float) -> Field:
    sigma = width_mm / pitch_mm
    return signal if sigma < 0.3 else np.asarray(cv2.GaussianBlur(signal, (0, 0), sigma), np.float32)


def _equalise(signal: Field, exposure: Exposure, strength: float) -> Field:
    """Lift the rim, where the breast is thinner: a share of what the smoothed signal lacks to the breast's median."""
    small = cv2.resize(signal, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(exposure.breast.astype(np.float32), (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
    sigma = 5.0 / (8 * exposure.pitch_mm)
    smooth = cv2.GaussianBlur(small * inside, (0, 0), sigma) / (cv2.GaussianBlur(inside, (0, 0), sigma) + 1e-3)
    lack = np.clip(np.median(small[inside > 0.5]) * 0.92 - smooth, 0, None)
    lift = cv2.resize(np.asarray(lack, np.float32), (signal.shape[1], signal.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(signal + np.float32(strength) * lift * exposure.breast, np.float32)


def _curve(signal: Field, breast: NDArray[np.bool_], vendor: Vendor) -> Field:
    """Grey from 0 (black) to 1 (white): the clipped range, bent at toe and shoulder, tilted by gamma; air is black."""
    low, high = np.percentile(signal[breast][::7], vendor.clip)
    floor = low - 0.55 * (high - low)
    grey = np.clip((signal - floor) / (high - floor), 0, 1)
    bend = vendor.toe * grey**2 * (2 - grey) + vendor.shoulder * (1 - (1 - grey) ** 2)
    grey = (1 - vendor.toe - vendor.shoulder) * grey + bend
    return np.asarray(np.power(grey, vendor.gamma) * breast, np.float32)


def _pad(pixels: StoredPixels, vendor: Vendor, pitch_mm: float) -> StoredPixels:
    """Overwrite the border away from the chest wall, where collimators or paddles cover the detector."""
    if vendor.padding_value is None:
        return pixels
    width = max(1, round(vendor.padding_mm / pitch_mm))
    pixels[:, -width:] = vendor.padding_value
    pixels[:width], pixels[-width:] = vendor.padding_value, vendor.padding_value
    return pixels
