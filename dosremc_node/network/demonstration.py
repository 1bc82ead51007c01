"""The demonstration release: filters learnt on simulated vendor A, and a bank for each of the four simulated vendors.

It shows that the program works. Its images are simulated: it has no clinical meaning, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue

from dosremc_node.errors import FilmExamMissing
from dosremc_node.evaluation import calibrated, per_breast, platt, roc_auc, sigmoid, threshold_at_specificity
from dosremc_node.imaging import DEFAULT_SPEC
from dosremc_node.network.banks import Bank, bank_of, put_bank
from dosremc_node.network.cache import code_digest, read_arrays, recipe_digest, write_arrays
from dosremc_node.network.examples import Breast, Examples, prepared_examples, simulate_examples
from dosremc_node.network.export import export_backbone
from dosremc_node.network.localisation import on_the_lesion
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
from dosremc_node.simulation import FILMS, HALF_SIZE, POPULATION, SIMULATION_VERSION, VENDORS, Film, film_exam, simulation_sha256

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
    bank_images: int = 1000
    validation_images: int = 240
    test_images: int = 240
    served_images: int = 40
    epochs: int = 12
    seed: int = 1
    processes: int = 2

    def count(self, vendor: str, split: str) -> int:
        training = self.images_per_vendor if vendor == SOURCE else min(self.bank_images, self.images_per_vendor)
        counts = (training, self.validation_images, self.test_images, self.served_images)
        return dict(zip(SPLITS, counts, strict=True))[split]


@dataclass(frozen=True, slots=True)
class Course:
    """How a recipe is carried out: who hears what is being done and which share of it is done, and where what is finished is kept."""

    recipe: Recipe
    progress: Progress
    kept: Path | None

    def watch(self, what: str) -> Watch:
        """For a training that goes on where it was interrupted."""
        return Watch(lambda share: self.progress(what, share), checkpoint=self.kept and self.kept / what.replace(" ", "-"))


def train_demonstration(
    out: Path, recipe: Recipe = Recipe(), progress: Progress = lambda _what, _share: None, work: Path | None = None
) -> Release:
    """Simulate, train, and write the release below ``out``; ``progress`` hears what is being done and which share of it is done.

    Below ``work`` stays what is finished, so that the same recipe goes on there after an interruption. Raises `ReleaseExists` where
    ``out`` has a demonstration release already.
    """
    course = Course(recipe, progress, work and work / _digest(recipe))
    examples = {(vendor, split): _examples(vendor, split, course) for vendor in VENDORS for split in SPLITS}
    return release_from(examples, out, course)


def release_from(examples: dict[tuple[str, str], Examples], out: Path, course: Course) -> Release:
    """Train on ``examples`` (by vendor and split) and write the release."""
    recipe = course.recipe
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.processes)
    network = SaliencyResNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train_filters(
        network,
        examples[SOURCE, "training"],
        epochs=recipe.epochs,
        seed=recipe.seed,
        watch=course.watch("filters on A"),
    )
    source = bank_of(network)
    made = {Domain(domain_of(vendor)): _domain(network, source, vendor, examples, course) for vendor in VENDORS}
    put_bank(network, source, Domain(domain_of(SOURCE)))
    return write_release(out, _facts(recipe, made), export_backbone(network, SPEC), {domain: each.bank for domain, each in made.items()})


@dataclass(frozen=True, slots=True)
class _Made:
    """What one domain adds to the release."""

    bank: Bank
    point: OperatingPoint
    figures: dict[str, JsonValue]


def _domain(network: Network, source: Bank, vendor: str, examples: dict[tuple[str, str], Examples], course: Course) -> _Made:
    """Give the network the bank of a vendor, and measure it before and after."""
    training, validation, test, served = (examples[vendor, split] for split in SPLITS)
    put_bank(network, source, Domain(domain_of(vendor)))
    figures: dict[str, JsonValue] = {"with the bank of A": _figures(network, test)}
    if vendor != SOURCE:
        adapt_statistics(network, training)
        figures["with its own statistics"] = _figures(network, test)
        plan = Plan(max(1, round(course.recipe.epochs * BANK_EPOCHS_SHARE)))
        train_bank(network, training, training.malignant, plan, seed=course.recipe.seed, watch=course.watch(f"bank of {vendor}"))
        figures["with its own bank"] = _figures(network, test)
    figures["with its own bank, at the size that is sent"] = _figures(network, served)
    point = operating_point(network, validation)
    if vendor == SOURCE:
        figures["real film, which nothing was trained on"] = {film.case: _film(network, film, point) for film in FILMS}
    return _Made(bank_of(network), point, figures)


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
        "highest_cell_on_the_lesion": round(float(on_the_lesion(network, test).mean()), 4),
    }


def _film(network: Network, film: Film, point: OperatingPoint) -> JsonValue:
    """The calibrated probability of each breast of a real exam, left before right, beside the threshold and the truth."""
    try:
        exam = film_exam(film)
    except FilmExamMissing:
        return "not installed"
    images = prepared_examples(exam.images, SPEC)
    probabilities = per_breast(calibrated(logits(network, images), point), images.breasts)
    left, right = (round(float(probability), 4) for probability in probabilities)
    return {"left": left, "right": right, "threshold": round(point.threshold, 4), "malignant": film.malignant and film.malignant.word}


def _examples(vendor: str, split: str, course: Course) -> Examples:
    """Simulated, or read where they were kept."""
    path = course.kept and course.kept / f"{vendor}-{split}.npz"
    if path and path.exists():
        return Examples(**read_arrays(path))
    made = _simulate(vendor, split, course.recipe, course.progress)
    if path:
        write_arrays(path, {"pixels": made.pixels, "malignant": made.malignant, "lesions": made.lesions})
    return made


def _digest(recipe: Recipe) -> str:
    """What decides on the training; where it differs, nothing that was kept is of use."""
    return recipe_digest(recipe, simulation_sha256(), code_digest("dosremc_node.imaging", "dosremc_node.network"), asdict(SPEC))


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
            "conspicuity": list(POPULATION.conspicuity),
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
