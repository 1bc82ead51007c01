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
from dosremc_node.network.banks import Bank, bank_of, put_bank
from dosremc_node.network.evaluation import per_breast, platt, roc_auc, sigmoid, threshold_at_specificity
from dosremc_node.network.examples import Breast, Examples, simulate_examples
from dosremc_node.network.export import export_backbone
from dosremc_node.network.methods.fine_tuning import train_bank
from dosremc_node.network.prediction import Network
from dosremc_node.network.resnet22 import SaliencyResNet
from dosremc_node.network.scoring import logits
from dosremc_node.network.source_training import train_filters
from dosremc_node.network.statistics import adapt_statistics
from dosremc_node.network.training import Plan, Watch
from dosremc_node.records import Domain, OperatingPoint, Release
from dosremc_node.releases import ReleaseFacts, write_release
from dosremc_node.settings import SHIPPED_RELEASE
from dosremc_node.simulation import HALF_SIZE, SIMULATION_VERSION, VENDORS, simulation_sha256

STATEMENT = "Demonstration weights, trained on simulated images, no clinical meaning."
SPEC = replace(DEFAULT_SPEC, height=256, width=128)
SOURCE = "A"
SPECIFICITY = 0.9
TARGET = "90 % specificity per breast on simulated validation images, half of them malignant"
BANK_EPOCHS_SHARE = 0.25
SPLITS = ("training", "validation", "test", "served")
"""``served`` shows breasts of the test split at the size in which the simulated modality sends them."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much is simulated and how long is trained. Counts are images, two of each breast; ``bank_images`` are those from which
    a further vendor's bank learns, which needs fewer than filters do.
    """

    images_per_vendor: int = 2400
    bank_images: int = 1200
    validation_images: int = 300
    test_images: int = 300
    served_images: int = 60
    epochs: int = 12
    seed: int = 1
    processes: int = 2

    def count(self, vendor: str, split: str) -> int:
        training = self.images_per_vendor if vendor == SOURCE else min(self.bank_images, self.images_per_vendor)
        counts = (training, self.validation_images, self.test_images, self.served_images)
        return dict(zip(SPLITS, counts, strict=True))[split]


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
    network = SaliencyResNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train_filters(
        network,
        examples[SOURCE, "training"],
        epochs=recipe.epochs,
        seed=recipe.seed,
        watch=Watch(lambda share: progress("filters on A", share)),
    )
    source = bank_of(network)
    made = {Domain(domain_of(vendor)): _domain(network, source, vendor, examples, recipe, progress) for vendor in VENDORS}
    put_bank(network, source, Domain(domain_of(SOURCE)))
    return write_release(out, _facts(recipe, made), export_backbone(network, SPEC), {domain: each.bank for domain, each in made.items()})


@dataclass(frozen=True, slots=True)
class _Made:
    """What one domain adds to the release."""

    bank: Bank
    point: OperatingPoint
    figures: dict[str, JsonValue]


def _domain(  # noqa: PLR0917
    network: Network, source: Bank, vendor: str, examples: dict[tuple[str, str], Examples], recipe: Recipe, progress: Progress
) -> _Made:
    """Give the network the bank of a vendor, and measure it before and after."""
    training, validation, test, served = (examples[vendor, split] for split in SPLITS)
    put_bank(network, source, Domain(domain_of(vendor)))
    figures: dict[str, JsonValue] = {"with the bank of A": _figures(network, test)}
    if vendor != SOURCE:
        adapt_statistics(network, training)
        figures["with its own statistics"] = _figures(network, test)
        epochs = max(1, round(recipe.epochs * BANK_EPOCHS_SHARE))
        watch = Watch(lambda share: progress(f"bank of {vendor}", share))
        train_bank(network, training, training.malignant, Plan(epochs), seed=recipe.seed, watch=watch)
        figures["with its own bank"] = _figures(network, test)
    figures["with its own bank, at the size that is sent"] = _figures(network, served)
    return _Made(bank_of(network), operating_point(network, validation), figures)


def domain_of(vendor: str) -> str:
    """The domain's name in `config/domains.toml`."""
    return f"simulated-{vendor.lower()}"


def operating_point(network: Network, validation: Examples) -> OperatingPoint:
    """Calibration per image and threshold per breast, both from validation images."""
    scores = logits(network, validation)
    slope, intercept = platt(scores, validation.malignant)
    breasts = per_breast(sigmoid(slope * scores + intercept), validation.breasts)
    threshold = threshold_at_specificity(breasts, validation.malignant[::2], SPECIFICITY)
    return OperatingPoint(threshold=threshold, slope=slope, intercept=intercept, target=TARGET)


def _figures(network: Network, test: Examples) -> JsonValue:
    scores = logits(network, test)
    return {
        "images": len(test),
        "image_auc": round(roc_auc(scores, test.malignant), 4),
        "breasts": len(test) // 2,
        "breast_auc": round(roc_auc(per_breast(scores, test.breasts), test.malignant[::2]), 4),
    }


def _simulate(vendor: str, split: str, recipe: Recipe, progress: Progress) -> Examples:
    women, binning = ("test", HALF_SIZE) if split == "served" else (split, None)
    first = recipe.seed * 10_000_000 + 1_000_000 * list(VENDORS).index(vendor) + 200_000 * SPLITS.index(women)
    breasts = [Breast(first + index, vendor, binning) for index in range(recipe.count(vendor, split) // 2)]
    return simulate_examples(
        breasts, SPEC, processes=recipe.processes, progress=lambda share: progress(f"simulating {vendor} {split}", share)
    )


def _facts(recipe: Recipe, made: dict[Domain, _Made]) -> ReleaseFacts:
    return ReleaseFacts(
        release_id=SHIPPED_RELEASE,
        preprocessing=SPEC,
        operating_points={str(domain): each.point for domain, each in made.items()},
        approver="none: made by the training command",
        demonstration=True,
        statement=STATEMENT,
        cohort={
            "images": "simulated",
            "filters_from": domain_of(SOURCE),
            "training_images": {domain_of(vendor): recipe.count(vendor, "training") for vendor in VENDORS},
            "malignant_share": 0.5,
        },
        metrics={str(domain): each.figures for domain, each in made.items()},
        provenance={
            "command": f"dosremc-node train demonstration --images-per-vendor {recipe.images_per_vendor} --epochs {recipe.epochs} --seed {recipe.seed}",
            "simulation_version": SIMULATION_VERSION,
            "simulation_sha256": simulation_sha256(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )
