"""From rows of the index to what a network learns from: the same preparation as in service, kept on disk between runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dosremc_node.artifacts import ArtifactKind, ArtifactStore, derived_key, open_store
from dosremc_node.errors import ArtifactMissing, NotAMammogram, NotDicom, UndecodableImage
from dosremc_node.imaging import ImagingWorkers, decode_input, encode_input
from dosremc_node.network.data.index import Box, Excluded, IndexRow
from dosremc_node.network.examples import Examples
from dosremc_node.records import ImageHeader, InputGeometry, NetworkInput, NotAssessedReason, PreprocessingSpec
from dosremc_node.settings import StorageSettings, WorkerSettings
from dosremc_node.studies import read_header

_DAMAGED = (BadZipFile, ValueError, KeyError, EOFError)
"""What numpy raises where the bytes are not those that were kept."""

_SILENT = frozenset({NotAssessedReason.UNKNOWN_VIEW, NotAssessedReason.UNKNOWN_LATERALITY})
"""What a header that lacks the view or side gives: the index knows them."""

NOWHERE = (np.nan, np.nan, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedImages:
    """``examples`` n images in the order of ``rows``; ``excluded`` those of the index that could not be used, with the reason."""

    rows: tuple[IndexRow, ...]
    examples: Examples
    excluded: tuple[Excluded, ...]


def load_images(
    rows: Sequence[IndexRow],
    spec: PreprocessingSpec,
    cache: Path,
    *,
    processes: int = 2,
    progress: Callable[[float], None] = lambda _: None,
) -> LoadedImages:
    """Prepare the images of ``rows`` as the node would, ``processes`` at once; ``progress`` hears the share that is done.

    Network inputs are kept below ``cache`` by image digest and preprocessing, as the node keeps its own, so that a second run only reads
    them. The pixels are mapped from a nameless file there, which goes with the examples: they need not fit into memory.
    """
    store = open_store(StorageSettings(folder=cache))
    limits = WorkerSettings()
    pixels = _room(len(rows), spec, cache)
    kept: list[IndexRow] = []
    lesions: list[tuple[float, float, float]] = []
    excluded: list[Excluded] = []
    with (
        ImagingWorkers(processes, limits.decoding_seconds, limits.decoding_megabytes) as workers,
        ThreadPoolExecutor(processes) as threads,
    ):
        results = threads.map(partial(_seen, spec=spec, store=store, workers=workers), rows)
        for row, result in zip(rows, _counted(results, len(rows), progress), strict=True):
            if isinstance(result, Excluded):
                excluded.append(result)
                continue
            pixels[len(kept)] = result.pixels
            lesions.append(_lesion(row.lesion, result.geometry, spec))
            kept.append(row)
    malignant = np.array([row.malignant for row in kept], np.bool_)
    places = np.array(lesions, np.float32).reshape(-1, 3)
    return LoadedImages(tuple(kept), Examples(pixels[: len(kept)], malignant, places), tuple(excluded))


def _room(count: int, spec: PreprocessingSpec, folder: Path) -> NDArray[np.float16]:
    """An array of ``count`` images on disk rather than in memory; its file has no name and is gone with it."""
    shape = (max(1, count), spec.height, spec.width)
    with tempfile.TemporaryFile(dir=folder) as file:
        # A full disk is an error here; later it would be a bus error.
        os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)) * np.dtype(np.float16).itemsize)
        return np.memmap(file, np.float16, "r+", shape=shape)


def _counted(
    results: Iterator[NetworkInput | Excluded], total: int, progress: Callable[[float], None]
) -> Iterator[NetworkInput | Excluded]:
    for done, result in enumerate(results, start=1):
        yield result
        progress(done / total)


def _seen(row: IndexRow, spec: PreprocessingSpec, store: ArtifactStore, workers: ImagingWorkers) -> NetworkInput | Excluded:
    """The network input of a row, or what is wrong with its file; whatever else goes wrong is nothing to go on after."""
    try:
        header, digest = read_header(row.path), _digest(row.path)
    except OSError as error:
        return Excluded(row.path, f"The file cannot be read: {error.strerror}.")
    except NotDicom as error:
        return Excluded(row.path, str(error))
    if reason := _why_not(row, header):
        return Excluded(row.path, reason)
    try:
        # The side too, which a stripped header lacks and an index may have wrong.
        return _kept_or_made(row, f"{digest}-{spec.sha256}-{ord(row.laterality):x}", spec, store, workers)
    except (NotDicom, UndecodableImage, NotAMammogram) as error:
        return Excluded(row.path, str(error))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _why_not(row: IndexRow, header: ImageHeader) -> str | None:
    """What the header says against the row. Where it says nothing the index is believed: public sets have had their headers stripped."""
    if header.laterality not in (None, row.laterality):
        return "The header names the other side."
    if header.view not in (None, row.view):
        return "The header names another view."
    if header.not_assessed is NotAssessedReason.NOT_MAMMOGRAPHY and not header.modality:
        return None
    return None if header.not_assessed in _SILENT else header.not_assessed


def _kept_or_made(row: IndexRow, name: str, spec: PreprocessingSpec, store: ArtifactStore, workers: ImagingWorkers) -> NetworkInput:
    try:
        return decode_input(store.read(derived_key(ArtifactKind.INPUT, name)))
    except (ArtifactMissing, *_DAMAGED):
        made = workers.prepare(row.path, spec, row.laterality)
    store.put_derived(ArtifactKind.INPUT, name, encode_input(made))
    return made


def _lesion(box: Box | None, geometry: InputGeometry, spec: PreprocessingSpec) -> tuple[float, float, float]:
    """Column, row and radius in network pixels: the circle of the same area as the box's ellipse. NaN where it lies outside the crop."""
    if box is None:
        return NOWHERE
    corners = [geometry.to_network((box.left, box.top)), geometry.to_network((box.right, box.bottom))]
    (left, right), (top, bottom) = (sorted(edges) for edges in zip(*corners, strict=True))
    column, row = (left + right) / 2, (top + bottom) / 2
    inside = 0 <= column < spec.width and 0 <= row < spec.height
    return (column, row, float(np.sqrt((right - left) * (bottom - top))) / 2) if inside else NOWHERE
