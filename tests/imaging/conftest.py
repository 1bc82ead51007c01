"""Mammograms drawn for the tests, and DCMTK as the peer that nobody here wrote."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

Image = NDArray[np.integer[Any]]


class MakeFile(Protocol):
    def __call__(self, pixels: Image, **elements: object) -> Path: ...


def draw_breast(rows: int = 800, columns: int = 600, highest: int = 4095, seed: int = 1) -> Image:
    """A half ellipse of tissue at the left edge, with texture, a pectoral triangle, air around it, and the noise of a detector."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[0:rows, 0:columns]
    depth = 1.0 - ((row - 0.55 * rows) / (0.38 * rows)) ** 2 - (column / (0.7 * columns)) ** 2
    tissue = np.clip(depth * 6.0, 0.0, 1.0) * (0.45 + 0.08 * random.standard_normal((rows, columns)))
    pectoral = (column < 0.35 * columns * (1.0 - row / (0.6 * rows))) * 0.35
    grey = np.where(depth > 0, np.maximum(tissue + pectoral, 0.02), 0.0) + 0.004 * random.random((rows, columns))
    return np.clip(grey * highest, 0, highest).astype(np.uint16 if highest > 255 else np.uint8)


@pytest.fixture
def breast() -> Callable[..., Image]:
    """Draws a breast with its chest wall on the left."""
    return draw_breast


@pytest.fixture
def make_file(tmp_path: Path) -> MakeFile:
    """Writes pixels as an uncompressed mammogram; further elements override the header."""
    numbers = itertools.count(1000)

    def make(pixels: Image, **elements: object) -> Path:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
        meta.MediaStorageSOPInstanceUID = UID(f"2.25.{next(numbers)}")
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        dataset.Modality = "MG"
        dataset.Rows, dataset.Columns = pixels.shape[:2]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = 8 * pixels.dtype.itemsize
        dataset.BitsStored = 12 if dataset.BitsAllocated == 16 else 8
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        dataset.PixelData = pixels.tobytes()
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.HighBit = dataset.BitsStored - 1
        path = tmp_path / f"{dataset.SOPInstanceUID}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        return path

    return make


@pytest.fixture
def dcmtk() -> Callable[..., bool]:
    """Runs one of DCMTK's programs and says whether it succeeded; skips where the program is not installed."""

    def run(program: str, *arguments: str | Path) -> bool:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian package dcmtk)")
        command = [program, *(str(argument) for argument in arguments)]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0

    return run
