"""A cell: one row, from one vendor to another, in one seed; what it says of every test image, kept in a file of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dosremc_node.evaluation import Labels, Values
from dosremc_node.network.batches import Images, channels_last, to_network
from dosremc_node.network.cache import Arrays, code_digest, read_arrays, recipe_digest, write_arrays
from dosremc_node.network.examples import Examples
from dosremc_node.network.methods import METHODS, Adapted, Scorer, Task
from dosremc_node.network.methods.batch_blend import PAPER_BATCH
from dosremc_node.network.methods.scorers import FixedScorer
from dosremc_node.network.methods.tent import TentScorer
from dosremc_node.network.prediction import Network
from dosremc_node.network.science.cohorts import SCREENING_PREVALENCE, Cohort, Split, chosen_vendors, images_of
from dosremc_node.network.science.presets import Preset
from dosremc_node.network.science.rows import Row, Scoring
from dosremc_node.network.science.samples import sample
from dosremc_node.network.science.sources import Source
from dosremc_node.network.scoring import logits
from dosremc_node.network.statistics import adapt_statistics, batch_statistics
from dosremc_node.network.training import Plan
from dosremc_node.records import Domain


@dataclass(frozen=True, slots=True)
class Cell:
    """``source`` and ``target`` are vendors; where they are the same, the network stays in its domain."""

    cache: Path
    preset: Preset
    row: Row
    source: str
    target: str
    seed: int

    @property
    def path(self) -> Path:
        networks = [self._source(vendor).digest for vendor in dict.fromkeys((self.source, self.target))]
        digest = recipe_digest(networks, self.preset, self.row, self.source, self.target, self.seed, code_digest(*CELL_MODULES))
        name = f"{self.row.name}-{self.source}{self.target}-{self.seed}-{digest}.npz"
        return self.cache / "cells" / name

    def make(self) -> None:
        """Adapt and score, unless that was done before."""
        if not self.path.exists():
            write_arrays(self.path, self._computed())

    def scores(self) -> dict[str, NDArray[np.float64]]:
        """The logits of all test images by vendor, those of the target's validation images as ``validation``, and ``seconds`` (1,)."""
        return {name: np.asarray(values, np.float64) for name, values in read_arrays(self.path).items()}

    def _computed(self) -> Arrays:
        start = time.perf_counter()
        score = self._scoring(METHODS[self.row.method].adapt(self.task()))
        seconds = time.perf_counter() - start
        tests = {vendor: score(self._images(vendor, Split.TEST), Domain(vendor)) for vendor in chosen_vendors(self.preset)}
        validation = score(self._images(self.target, Split.VALIDATION), Domain(self.target))
        return {**tests, "validation": validation, "seconds": np.array([seconds])}

    def task(self) -> Task:
        """What the method gets."""
        images, malignant = sample(
            self.row, self._images(self.target, Split.TRAINING), self._images(self.target, Split.SCREENING), self._reader
        )
        return Task(
            network=self._source(self.source).network(),
            source=self._images(self.source, Split.TRAINING),
            target=images,
            malignant=malignant,
            plan=Plan(self.preset.epochs(len(images))),
            seed=self.seed,
            source_domain=Domain(self.source),
            target_domain=Domain(self.target),
        )

    def _scoring(self, adapted: Adapted) -> Scorer:
        if self.row.scoring is Scoring.AMONG_SCREENED:
            return AmongScreened(adapted.network, self.seed)
        if self.row.scoring is Scoring.AFTER_SCREENING:
            return FixedScorer(after_stream(adapted, self.task().target, self.seed))
        return adapted.scorer

    def _reader(self, images: Examples) -> Values:
        return logits(self._source(self.target).network(), images)

    def _source(self, vendor: str) -> Source:
        return Source(self.cache, Cohort(self.preset, vendor, self.seed))

    def _images(self, vendor: str, split: Split) -> Examples:
        return images_of(self._source(vendor).images, self._source(vendor).cohort, split)


CELL_MODULES = (
    "dosremc_node.network.methods", "dosremc_node.network.domain_banks", "dosremc_node.network.scoring",
    "dosremc_node.network.science.cells", "dosremc_node.network.science.samples", "dosremc_node.network.science.cohorts",
)  # fmt: skip
"""What decides on a cell beside its row, its preset and the networks."""


def after_stream(adapted: Adapted, stream: Images, seed: int) -> Network:
    """TENT scores a stream of images in batches of eight, and adapts on the way; then it stands still, with the stream's statistics."""
    scorer = adapted.scorer
    if not isinstance(scorer, TentScorer):
        raise TypeError(f"{type(scorer).__name__} does not adapt while it scores")
    network, _ = TentScorer(scorer.network, PAPER_BATCH, scorer.rate, seed).follow(stream)
    adapt_statistics(network, stream, seed=seed)
    return network


@dataclass(frozen=True, slots=True)
class AmongScreened:
    """Scores each image by the statistics of its batch of eight, whose other images are drawn from the same images as screening would
    draw them: 0.5 % malignant.
    """

    network: Network
    seed: int

    def __call__(self, images: Images, domain: Domain) -> NDArray[np.float64]:  # noqa: ARG002 - the same for all
        if not isinstance(images, Examples):
            raise TypeError("the labels say who may be a mate")
        scores = np.empty(len(images))
        channels_last(self.network)
        with torch.no_grad(), batch_statistics(self.network):
            for judged, mates in screening_batches(images.malignant, PAPER_BATCH, np.random.default_rng(self.seed)):
                together = to_network(self.network, images.batch(np.concatenate([judged, mates])))
                scores[judged] = self.network(together).logits[: len(judged)].double().cpu().numpy()
        return scores


Batch = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Indices of the images that are judged, and of their mates, which only lend their statistics."""


def screening_batches(malignant: Labels, size: int, random: np.random.Generator) -> list[Batch]:
    """Batches of ``size`` in which every image is judged once. A malignant one is judged alone among mates; others share batches with each
    other, as nearly all do in screening.
    """
    spared = np.flatnonzero(~malignant)
    shuffled = random.permutation(spared)
    together = [shuffled[start : start + size - 1] for start in range(0, len(shuffled), size - 1)]
    alone = [np.array([index]) for index in np.flatnonzero(malignant)]
    return [(judged, _mates(malignant, size - len(judged), random)) for judged in (*together, *alone)]


def _mates(malignant: Labels, count: int, random: np.random.Generator) -> NDArray[np.intp]:
    """So many images, each malignant with the prevalence of screening."""
    kinds = random.random(count) < SCREENING_PREVALENCE
    return np.array([random.choice(np.flatnonzero(malignant == kind)) for kind in kinds], np.intp)
