"""Simulated exams of 4096 x 3328 pixels of 12 bits in every transfer syntax that can be written here. Made once, and kept."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import gdcm
import numpy as np
from harness.studies import copy_of_study
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dosremc_node.records import Laterality, View
from dosremc_node.simulation import VENDORS, Order
from dosremc_node.simulation.dicom import part10
from dosremc_node.simulation.exam import SCREENING_VIEWS, simulate_view

ROWS, COLUMNS = 4096, 3328
FINE_PITCH_MM = 0.0528
"""With it, the simulated detector of vendor A has 3328 columns and some rows more than 4096."""


def full_size_study(folder: Path, syntax: str) -> list[Path]:
    """The four views of one exam in one of `SYNTAXES`, a file each."""
    return [full_size_image(folder, syntax, laterality, view) for laterality, view in SCREENING_VIEWS]


def full_size_image(folder: Path, syntax: str, laterality: Laterality = Laterality.LEFT, view: View = View.CC) -> Path:
    """One view of it."""
    path = folder / syntax / f"{laterality}{view}.dcm"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        if syntax == UNCOMPRESSED:
            unfinished.write_bytes(_simulated(laterality, view))
        else:
            SYNTAXES[syntax](full_size_image(folder, UNCOMPRESSED, laterality, view), unfinished)
        unfinished.rename(path)
    return path


def eight_views(four: list[bytes]) -> list[bytes]:
    """A study with every view twice, in an order in which the four are not complete before the seventh has come."""
    twice = [image for pair in zip(four, copy_of_study(four, "second"), strict=True) for image in pair]
    return copy_of_study(twice, "eight")


def _simulated(laterality: Laterality, view: View) -> bytes:
    vendor = replace(VENDORS["A"], pitch_mm=FINE_PITCH_MM)
    dataset = dcmread(BytesIO(simulate_view(Order(1, vendor, Laterality.LEFT, binning=1.0), laterality, view).content))
    top = (dataset.Rows - ROWS) // 2
    pixels = dataset.pixel_array[top : top + ROWS, :COLUMNS]
    dataset.Rows, dataset.Columns = pixels.shape
    if pixels.shape != (ROWS, COLUMNS):
        raise ValueError(f"the simulation gave {pixels.shape}")
    dataset.PixelData = np.ascontiguousarray(pixels, "<u2").tobytes()
    return part10(dataset)


def _compress(syntax: UID) -> Callable[[Path, Path], None]:
    def write(source: Path, target: Path) -> None:
        dataset = dcmread(source)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(target, enforce_file_format=True)

    return write


def _deflate(source: Path, target: Path) -> None:
    target.write_bytes(part10(dcmread(source), DeflatedExplicitVRLittleEndian))


def _swap_bytes(source: Path, target: Path) -> None:
    dataset = Dataset(dcmread(source))
    dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    target.write_bytes(part10(dataset, ExplicitVRBigEndian))


def _lossless_jpeg(source: Path, target: Path) -> None:
    """Only GDCM writes it with more than 8 bits."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(source))
    reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    change.Change()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.Write()


def _high_throughput(source: Path, target: Path) -> None:
    """Only OpenJPH writes it."""
    dataset, picture, stream = dcmread(source), target.with_suffix(".pgm"), target.with_suffix(".j2c")
    header = f"P5 {dataset.Columns} {dataset.Rows} {2**dataset.BitsStored - 1}\n".encode()
    picture.write_bytes(header + dataset.pixel_array.astype(">u2").tobytes())
    subprocess.run(["ojph_compress", "-i", picture, "-o", stream, "-reversible", "true"], check=True, capture_output=True)
    dataset.PixelData = encapsulate([stream.read_bytes()])
    dataset["PixelData"].is_undefined_length = True
    target.write_bytes(part10(dataset, HTJ2KLossless))
    picture.unlink()
    stream.unlink()


UNCOMPRESSED = "uncompressed"
JPEG_2000 = "jpeg-2000"
JPEG_LS = "jpeg-ls"
SYNTAXES: dict[str, Callable[[Path, Path], None]] = {
    UNCOMPRESSED: _compress(ExplicitVRLittleEndian),
    "big-endian": _swap_bytes,
    "deflated": _deflate,
    "rle": _compress(RLELossless),
    "jpeg-lossless": _lossless_jpeg,
    JPEG_LS: _compress(JPEGLSLossless),
    JPEG_2000: _compress(JPEG2000Lossless),
} | ({"htj2k": _high_throughput} if shutil.which("ojph_compress") else {})
"""How each is written; HTJ2K where OpenJPH is installed (Debian package openjph-tools)."""
