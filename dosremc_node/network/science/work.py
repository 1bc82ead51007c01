"""Doing what is missing: images, then source networks, then cells, several at a time; each is a file, so whoever is stopped goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import cv2
import torch

from dosremc_node.network.science.cells import Cell
from dosremc_node.network.science.cohorts import Cohort, Split, chosen_vendors, chunks
from dosremc_node.network.science.presets import Preset
from dosremc_node.network.science.rows import rows
from dosremc_node.network.science.sources import Source
from dosremc_node.network.science.table import ways

Progress = Callable[[str, float], None]
"""Hears what is being done, and which share of it is done."""


class Piece(Protocol):
    """A file that can be made."""

    @property
    def path(self) -> Path: ...

    def make(self) -> None: ...


def everything(preset: Preset, cache: Path) -> list[tuple[str, list[Piece]]]:
    """What there is to make, stage after stage; those of a seed lie together, so that a process can keep its images."""
    sources = [Source(cache, Cohort(preset, vendor, seed)) for seed in preset.seed_numbers for vendor in chosen_vendors(preset)]
    images = [chunk for source in sources for split in Split for chunk in chunks(source.images, source.cohort, split)]
    return [("simulating images", [*images]), ("training on each vendor alone", [*sources]), ("adapting", [*all_cells(preset, cache)])]


def all_cells(preset: Preset, cache: Path) -> list[Cell]:
    """Every cell of the table."""
    vendors = chosen_vendors(preset)
    return [
        Cell(cache, preset, row, source, target, seed)
        for seed in preset.seed_numbers
        for row in rows(preset)
        for source, target in ways(vendors, row)
    ]


def make_all(preset: Preset, cache: Path, processes: int, progress: Progress) -> None:
    """Make every piece that is missing. A piece that fails does not keep others from being made; its error is raised in the end."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        for what, pieces in everything(preset, cache):
            missing = [piece for piece in pieces if not piece.path.exists()]
            _make(pool, missing, lambda share, what=what: progress(what, share))  # type: ignore[misc]


def _make(pool: ProcessPoolExecutor, pieces: Sequence[Piece], progress: Callable[[float], None]) -> None:
    futures = [pool.submit(_make_one, piece) for piece in pieces]
    for done, _ in enumerate(as_completed(futures), start=1):
        progress(done / len(futures))
    progress(1.0)
    for future in futures:
        future.result()


def _make_one(piece: Piece) -> None:
    piece.make()


def _one_thread() -> None:
    """Two processes with a thread each are faster than one with two, and give the same bits on any machine."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
