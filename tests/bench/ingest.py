"""How fast objects come in: from `dcmsend`, into ours and into three others, each empty, in turn.

Ours answers when the file is synced under its digest, its folder too, and its row committed. The others sync nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from bench.measuring import Result, Scope, faster
from bench.receivers import LARGEST_PDU, Listening, Receiver, orthanc, ours, program, storescp
from dosremc_node.simulation.loopback import LOOPBACK

LARGE = (3328, 2560)
"""Rows and columns of an image of 17 MB."""

SMALL = (160, 160)
"""And of one of 50 kB."""

PEERS: dict[str, Receiver] = {"storescp": storescp(), "bit-preserving": storescp("--bit-preserving"), "orthanc": orthanc}


def one_association(scope: Scope) -> Iterator[Result]:
    """`ingest.1.<peer>`: 40 images of 17 MB on one association."""
    yield from _compared("ingest.1", scope, _images(scope, "large", LARGE, 4 if scope.quick else 40), 1)


def eight_associations(scope: Scope) -> Iterator[Result]:
    """`ingest.8.<peer>`: the same on eight associations at once."""
    yield from _compared("ingest.8", scope, _images(scope, "large", LARGE, 8 if scope.quick else 40), 8)


def small_objects(scope: Scope) -> Iterator[Result]:
    """`ingest.small.<peer>`: 300 images of 50 kB on one association."""
    yield from _compared("ingest.small", scope, _images(scope, "small", SMALL, 30 if scope.quick else 300), 1)


def _compared(name: str, scope: Scope, paths: list[Path], associations: int) -> Iterator[Result]:
    (warm_up,) = _images(scope, "warm-up", SMALL, 1)
    runs: dict[str, Callable[[], float]] = {
        peer: partial(_seconds, receiver, scope.work / peer, warm_up, paths, associations)
        for peer, receiver in {"ours": ours, **PEERS}.items()
    }
    measured: dict[str, list[float]] = {peer: [] for peer in runs}
    for number in range(scope.times(5)):
        # Which goes first alternates, so that a machine that gets slower favours nobody.
        for peer in reversed(runs) if number % 2 else runs:
            measured[peer].append(runs[peer]())
    own, further = measured["ours"], {"files": len(paths), "associations": associations, "load": os.getloadavg()[0]}
    for peer in PEERS:
        pairs = list(zip(own, measured[peer], strict=True))
        yield Result(f"{name}.{peer}", median(own), "s", faster(pairs, peer), {**further, "seconds_of_the_other": median(measured[peer])})


def _seconds(receiver: Receiver, folder: Path, warm_up: Path, paths: list[Path], associations: int) -> float:
    """How long it takes until the last sender has its last answer. Every object must be there then."""
    try:
        with receiver(folder) as listening:
            _send(listening, [warm_up]).wait()  # what is loaded with the first object is not paid for by each
            os.sync()  # nor what is written back for the receiver before
            started = time.perf_counter()
            senders = [_send(listening, paths[number::associations]) for number in range(associations)]
            statuses = [sender.wait() for sender in senders]
            seconds = time.perf_counter() - started
            if any(statuses) or listening.stored() != len(paths) + 1:
                raise RuntimeError(f"{listening.ae_title} has {listening.stored() - 1} of {len(paths)} objects beside the first")
            return seconds
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _send(listening: Listening, paths: list[Path]) -> subprocess.Popen[bytes]:
    pdu = ["--max-pdu", LARGEST_PDU, "--max-send-pdu", LARGEST_PDU]
    command = [program("dcmsend"), "-ll", "error", *pdu, "-aec", listening.ae_title, LOOPBACK, str(listening.port), *map(str, paths)]
    return subprocess.Popen(command)


def _images(scope: Scope, name: str, size: tuple[int, int], number: int) -> list[Path]:
    """Files of mammograms of noise, which no file system or program can shorten."""
    folder = scope.data / "ingest" / name
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{place}.dcm" for place in range(number)]
    noise = np.random.default_rng(1).integers(0, 4096, size, dtype=np.uint16)
    for path in paths:
        if not path.exists():
            _mammogram(noise).save_as(path.with_suffix(".unfinished"), enforce_file_format=True)
            path.with_suffix(".unfinished").rename(path)
    return paths


def _mammogram(pixels: np.ndarray) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = DigitalMammographyXRayImageStorageForPresentation, generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID, data.PatientID, data.PatientName = generate_uid(), generate_uid(), "BENCH", "BENCH"
    data.Modality, data.Manufacturer, data.ImageLaterality, data.ViewPosition = "MG", "SIMULATED", "L", "CC"
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = *pixels.shape, 16, 12, 11
    data.SamplesPerPixel, data.PixelRepresentation, data.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    data.PixelData = pixels.tobytes()
    return data
