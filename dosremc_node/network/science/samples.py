"""Which images of the target a row sees, and whether with their labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dosremc_node.evaluation import Labels, Values, per_breast
from dosremc_node.network.examples import Examples
from dosremc_node.network.science.cohorts import malignant_in_screening, of_breasts
from dosremc_node.network.science.rows import Row, Sample

RECALLED_PER_MALIGNANT = 5
"""One in five recalled women has cancer."""

Reader = Callable[[Examples], Values]
"""Says how suspicious each image is."""


def sample(row: Row, training: Examples, screening: Examples, reader: Reader) -> tuple[Examples, Labels | None]:
    """The row's images of the target, and their labels where it may have them."""
    breasts = row.images // 2
    if row.sample is Sample.SCREENING:
        return screened(screening, breasts), None
    if row.sample is Sample.RECALLED:
        return recalled(training, screening, breasts, reader), None
    half_malignant = of_breasts(training, np.arange(breasts))
    return half_malignant, half_malignant.malignant if row.sample is Sample.LABELLED else None


def screened(screening: Examples, breasts: int) -> Examples:
    """So many breasts of a screening sample, of which as many are malignant as screening finds."""
    malignant = screening.malignant[::2]
    return of_breasts(screening, _first_of_each(malignant, malignant_in_screening(breasts), breasts))


def recalled(training: Examples, screening: Examples, breasts: int, reader: Reader) -> Examples:
    """One in five malignant; the others are those of the screening sample that the reader, a network of that vendor's own, finds most
    suspicious.
    """
    malignant = breasts // RECALLED_PER_MALIGNANT
    spared = np.flatnonzero(~screening.malignant[::2])
    suspicion = per_breast(reader(screening), screening.breasts)[spared]
    benign = of_breasts(screening, spared[np.argsort(-suspicion, kind="stable")[: breasts - malignant]])
    cancers = of_breasts(training, np.flatnonzero(training.malignant[::2])[:malignant])
    return Examples(
        np.concatenate([cancers.pixels, benign.pixels]),
        np.concatenate([cancers.malignant, benign.malignant]),
        np.concatenate([cancers.lesions, benign.lesions]),
    )


def _first_of_each(malignant: Labels, wanted: int, breasts: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.concatenate([np.flatnonzero(malignant)[:wanted], np.flatnonzero(~malignant)[: breasts - wanted]])
