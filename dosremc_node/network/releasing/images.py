"""The images that a release is made of or measured on, and the machine that this happens on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dosremc_node.errors import NothingToLearnFrom
from dosremc_node.evaluation import Labels, Values
from dosremc_node.network.data import Excluded, Index, IndexRow, LoadedImages, Split, load_images
from dosremc_node.records import Domain, PreprocessingSpec, Release

Heard = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where the work is done: ``cache`` keeps network inputs, ``processes`` decode at once, ``device`` is torch's, the GPU where there is
    one and none is named. ``heard`` hears what is being done and which share of it is done.
    """

    cache: Path
    processes: int = 2
    device: str | None = None
    heard: Heard = lambda _what, _share: None

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def progress(self, what: str) -> Callable[[float], None]:
        return lambda share: self.heard(what, share)


@dataclass(frozen=True, slots=True)
class Made:
    """A release that was written, and the images that could not be used for it."""

    release: Release
    excluded: tuple[Excluded, ...]


def load_split(index: Index, split: Split, domains: Sequence[Domain], spec: PreprocessingSpec, workplace: Workplace) -> LoadedImages:
    """The images of a split of some domains; raises `NothingToLearnFrom` unless both classes are there."""
    rows = [row for row in index.of(split) if row.domain in domains]
    progress = workplace.progress(f"{split} images of {', '.join(domains)}")
    loaded = load_images(rows, spec, workplace.cache, processes=workplace.processes, progress=progress)
    for what, there in (("malignant", loaded.examples.malignant), ("negative", ~loaded.examples.malignant)):
        if not there.any():
            raise NothingToLearnFrom(split=split, what=what)
    return loaded


def breasts(rows: Sequence[IndexRow], probabilities: Values) -> tuple[Values, Labels]:
    """Probability and label of each breast, as the node's rule has it: the mean over its views, a view with several images counting once."""
    views: dict[tuple[object, ...], dict[str, list[float]]] = {}
    malignant: dict[tuple[object, ...], bool] = {}
    for row, probability in zip(rows, probabilities, strict=True):
        views.setdefault(row.breast, {}).setdefault(row.view, []).append(float(probability))
        malignant[row.breast] = malignant.get(row.breast, False) or row.malignant
    means = [float(np.mean([np.mean(images) for images in of_view.values()])) for of_view in views.values()]
    return np.array(means), np.array(list(malignant.values()), np.bool_)


def checkpoint_of(out: Path, release_id: str, rows: Sequence[IndexRow], recipe: object) -> Path:
    """Where a training is kept while it lasts. Its name says which images and which recipe: another one begins anew."""
    what = repr(([replace(row, path=Path(row.path.name)) for row in rows], recipe))
    return out / f".{release_id}-{hashlib.sha256(what.encode()).hexdigest()[:12]}.checkpoint"
