"""The demonstration release: filters learnt on simulated vendor A, and a bank for each of the three simulated vendors.

It shows that the program works. Its images are simulated: it has no clinical meaning, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue

from dosremc_node.imaging import DEFAULT_SPEC
from dosremc_node.network.banks import bank_of, put_bank
from dosremc_node.network.examples import Breast, Examples, simulate_examples
from dosremc_node.network.export import export_backbone
from dosremc_node.network.figures import Values, auc, per_breast, platt, sigmoid, threshold_at_specificity
from dosremc_node.network.model import SaliencyNetwork
from dosremc_node.network.training import adapt_statistics, logits, train_bank, train_filters
from dosremc_node.records import Domain, OperatingPoint, Release
from dosremc_node.releases import ReleaseFacts, write_release
from dosremc_node.settings import SHIPPED_RELEASE
from dosremc_node.simulation import SIMULATION_VERSION, VENDORS, simulation_sha256

STATEMENT = "Demonstration weights, trained on simulated images, no clinical meaning."
SPEC = replace(DEFAULT_SPEC, height=256, width=128)
SOURCE = "A"
SPECIFICITY = 0.9
TARGET = "90 % specificity per breast on simulated validation images, half of them malignant"
BANK_EPOCHS_SHARE = 0.4
SPLITS = ("training", "validation", "test")

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much is simulated and how long is trained. Counts are images, two of each breast; ``bank_images`` are those from which
    a further vendor's bank learns, which needs fewer than filters do.
    """

    images_per_vendor: int = 2400
    bank_images: int = 1200
    validation_images: int = 400
    test_images: int = 400
    epochs: int = 14
    seed: int = 1
    processes: int = 2

    def count(self, vendor: str, split: str) -> int:
        training = self.images_per_vendor if vendor == SOURCE else min(self.bank_images, self.images_per_vendor)
        return {"training": training, "validation": self.validation_images, "test": self.test_images}[split]


def train_demonstration(out: Path, recipe: Recipe = Recipe(), progress: Progress = lambda _what, _share: None) -> Release:
    """Simulate, train, and write the release below ``out``; ``progress`` hears what is being done and which share of it is done.

    Raises `ReleaseExists` where ``out`` has a demonstration release already.
    """
    examples = {(vendor, split): _simulate(vendor, split, recipe, progress) for vendor in VENDORS for split in SPLITS}
    return release_from(examples, out, recipe, progress)


def release_from(examples: dict[tuple[str, str], Examples], out: Path, recipe: Recipe, progress: Progress) -> Release:
    """Train on ``examples`` (by vendor and split) and write the release."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.processes)
    network = SaliencyNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train_filters(
        network,
        examples[SOURCE, "training"],
        epochs=recipe.epochs,
        seed=recipe.seed,
        progress=lambda share: progress("filters on A", share),
    )
    source = bank_of(network)
    banks = {Domain(domain_of(SOURCE)): source}
    points: dict[str, OperatingPoint] = {}
    figures: dict[str, JsonValue] = {}
    for vendor in VENDORS:
        domain, report = Domain(domain_of(vendor)), _Report(network, examples[vendor, "test"])
        put_bank(network, source, domain)
        report.add("with the bank of A")
        if vendor != SOURCE:
            _train_bank(network, examples[vendor, "training"], vendor, recipe, progress, report)
            banks[domain] = bank_of(network)
        points[str(domain)] = operating_point(network, examples[vendor, "validation"])
        figures[str(domain)] = report.figures
    put_bank(network, source, Domain(domain_of(SOURCE)))
    return write_release(out, _facts(recipe, points, figures), export_backbone(network, SPEC), banks)


def domain_of(vendor: str) -> str:
    """The domain's name in `config/domains.toml`."""
    return f"simulated-{vendor.lower()}"


def operating_point(network: SaliencyNetwork, validation: Examples) -> OperatingPoint:
    """Calibration per image and threshold per breast, both from validation images."""
    scores = logits(network, validation)
    slope, intercept = platt(scores, validation.malignant)
    breasts = per_breast(sigmoid(slope * scores + intercept))
    threshold = threshold_at_specificity(breasts, validation.malignant[::2], SPECIFICITY)
    return OperatingPoint(threshold=threshold, slope=slope, intercept=intercept, target=TARGET)


class _Report:
    """The figures of one domain on its test images, before and after."""

    def __init__(self, network: SaliencyNetwork, test: Examples) -> None:
        self.network, self.test = network, test
        self.figures: dict[str, JsonValue] = {"test_images": len(test), "test_breasts": len(test) // 2}

    def add(self, when: str) -> None:
        scores: Values = logits(self.network, self.test)
        self.figures[when] = {
            "image_auc": round(auc(scores, self.test.malignant), 4),
            "breast_auc": round(auc(per_breast(scores), self.test.malignant[::2]), 4),
        }


def _train_bank(  # noqa: PLR0917
    network: SaliencyNetwork, training: Examples, vendor: str, recipe: Recipe, progress: Progress, report: _Report
) -> None:
    adapt_statistics(network, training)
    report.add("with its own statistics")
    epochs = max(1, round(recipe.epochs * BANK_EPOCHS_SHARE))
    train_bank(network, training, epochs=epochs, seed=recipe.seed, progress=lambda share: progress(f"bank of {vendor}", share))
    report.add("with its own bank")


def _simulate(vendor: str, split: str, recipe: Recipe, progress: Progress) -> Examples:
    first = recipe.seed * 10_000_000 + 1_000_000 * list(VENDORS).index(vendor) + 200_000 * SPLITS.index(split)
    breasts = [Breast(first + index, vendor, None) for index in range(recipe.count(vendor, split) // 2)]
    return simulate_examples(
        breasts, SPEC, processes=recipe.processes, progress=lambda share: progress(f"simulating {vendor} {split}", share)
    )


def _facts(recipe: Recipe, points: dict[str, OperatingPoint], figures: dict[str, JsonValue]) -> ReleaseFacts:
    return ReleaseFacts(
        release_id=SHIPPED_RELEASE,
        preprocessing=SPEC,
        operating_points=points,
        approver="none: made by the training command",
        demonstration=True,
        statement=STATEMENT,
        cohort={
            "images": "simulated",
            "filters_from": domain_of(SOURCE),
            "training_images": {domain_of(vendor): recipe.count(vendor, "training") for vendor in VENDORS},
            "malignant_share": 0.5,
        },
        metrics=figures,
        provenance={
            "command": f"dosremc-node train demonstration --images-per-vendor {recipe.images_per_vendor} --epochs {recipe.epochs} --seed {recipe.seed}",
            "simulation_version": SIMULATION_VERSION,
            "simulation_sha256": simulation_sha256(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )
