"""The rows of the table: which method, with which images of the target."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dosremc_node.network.methods import METHODS
from dosremc_node.network.science.presets import Preset


class Sample(StrEnum):
    """Which images of the target a method sees. None of them is a test or validation image."""

    SCREENING = "screening"
    """As they come: 0.5 % of the breasts are malignant, and nobody says which."""
    ENRICHED = "enriched"
    """Half malignant, and nobody says which."""
    RECALLED = "recalled"
    """What the reader recalls, one in five malignant: see `samples.recalled`."""
    LABELLED = "labelled"
    """Half malignant, with the label of each image, and without the lesions' places."""


class Scoring(StrEnum):
    """How the test images are scored."""

    AS_THE_METHOD_DOES = "as the method does"
    AMONG_SCREENED = "among screened"
    """By the statistics of batches in which 0.5 % of a test image's mates are malignant, as in service."""
    AFTER_SCREENING = "after screening"
    """By what the method has made of itself after scoring the screening sample, with that sample's statistics."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row. ``images``: how many the method sees of the target. ``in_domain``: whether it is also measured with source as target."""

    name: str
    method: str
    sample: Sample
    images: int
    in_domain: bool = False
    scoring: Scoring = Scoring.AS_THE_METHOD_DOES

    @property
    def title(self) -> str:
        """For people."""
        seen = {
            Sample.SCREENING: f"{self.images} unlabelled images",
            Sample.ENRICHED: f"{self.images} unlabelled images, half malignant",
            Sample.RECALLED: f"{self.images} unlabelled images of recalled women",
            Sample.LABELLED: f"{self.images} labelled images",
        }[self.sample]
        how = {
            Scoring.AS_THE_METHOD_DOES: "",
            Scoring.AMONG_SCREENED: ", batches at screening prevalence",
            Scoring.AFTER_SCREENING: ", after a stream at screening prevalence",
        }[self.scoring]
        sees_nothing = self.method in SEE_NO_TARGET
        return METHODS[self.method].title + how + ("" if sees_nothing else f": {seen}")


SEE_NO_TARGET = frozenset({"unadapted", "batch_statistics_8", "batch_statistics_64", "alpha_bn", "ttn", "tent"})
"""Methods that learn nothing of the target before they score; TENT's stream is named by its scoring."""


def rows(preset: Preset) -> tuple[Row, ...]:
    """Every row of the table, in its order."""
    return (*_statistics(preset), *_unlabelled(preset), *_labelled(preset))


def _statistics(preset: Preset) -> tuple[Row, ...]:
    few, some, many = preset.statistics
    seen = Sample.SCREENING
    return (
        Row("unadapted", "unadapted", seen, some, in_domain=True),
        Row("batch_statistics_8", "batch_statistics_8", seen, some, in_domain=True),
        Row("batch_statistics_64", "batch_statistics_64", seen, some, in_domain=True),
        Row("batch_statistics_8_screening", "batch_statistics_8", seen, some, in_domain=True, scoring=Scoring.AMONG_SCREENED),
        Row("alpha_bn", "alpha_bn", seen, some, in_domain=True),
        Row("ttn", "ttn", seen, some, in_domain=True),
        *(Row(f"adabn_{count}", "adabn", seen, count, in_domain=True) for count in (few, some, many)),
        Row(f"adabn_{some}_enriched", "adabn", Sample.ENRICHED, some),
        Row(f"adabn_{some}_recalled", "adabn", Sample.RECALLED, some),
        Row(f"adabn_shrunk_{some}", "adabn_shrunk", seen, some),
        Row(f"adabn_early_{some}", "adabn_early", seen, some),
    )


def _unlabelled(preset: Preset) -> tuple[Row, ...]:
    _, some, many = preset.statistics
    seen, half = Sample.SCREENING, Sample.ENRICHED
    return (
        Row(f"bn_classifier_{some}", "bn_classifier", seen, some),
        Row("tent", "tent", seen, many),
        Row(f"tent_{many}_screening", "tent", seen, many, scoring=Scoring.AFTER_SCREENING),
        Row(f"dann_{preset.many}", "dann", half, preset.many),
        Row(f"dann_bnfc_{preset.many}", "dann_bnfc", half, preset.many),
        Row(f"dann_domain_bn_{preset.many}", "dann_domain_bn", half, preset.many),
        Row(f"domain_banks_unlabelled_{some}", "domain_banks_unlabelled", seen, some),
    )


def _labelled(preset: Preset) -> tuple[Row, ...]:
    few, many = preset.few, preset.many
    both = tuple(
        Row(f"{method}_{count}", method, Sample.LABELLED, count)
        for method in ("bn_only", "bnfc", "full", "domain_banks")
        for count in (few, many)
    )
    return (*both, *(Row(f"{method}_{many}", method, Sample.LABELLED, many) for method in ("bnfc_held", "joint")))
