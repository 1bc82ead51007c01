"""Whether the women and their examinations are still the same kind: ages, views, and images that could not be assessed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dosremc_node.drift.reference import Values

DRAWS = 4000
AGE_BANDS = (45, 50, 55, 60, 65, 70)
"""Years at which one band ends and the next begins."""

Counts = Mapping[str, int]


def shares(counts: Counts) -> dict[str, float]:
    """The part of each in the whole."""
    whole = sum(counts.values())
    return {name: count / whole for name, count in sorted(counts.items())} if whole else {}


def mixes_differ(reference: Counts, live: Counts, seed: int = 0) -> float:
    """The p value of "both are one mix": Pearson's chi-squared against random divisions of all in two, so that rare kinds mislead nobody.

    1 where either has none.
    """
    names = sorted({*reference, *live})
    one, other = (np.array([counts.get(name, 0) for name in names]) for counts in (reference, live))
    if not one.sum() or not other.sum():
        return 1.0
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(one + other, int(other.sum()), DRAWS)
    expected = (one + other) * other.sum() / (one.sum() + other.sum())
    squared = ((np.vstack([other, drawn]) - expected) ** 2 / np.maximum(expected, 1e-12)).sum(axis=1)
    return float(np.mean(squared >= squared[0] - 1e-9))


def weights_for_ages_of(reference: Values, live: Values) -> Values:
    """(n,): what each live exam must count for the ages to be mixed as in the reference; 0 in a band that the reference has not.

    Ages (n,) in years, NaN where unknown: unknown is a band of its own.
    """
    bands = len(AGE_BANDS) + 2
    places, found = (np.where(np.isnan(ages), bands - 1, np.digitize(ages, AGE_BANDS)) for ages in (reference, live))
    meant, there = (np.bincount(each, minlength=bands) / len(each) for each in (places, found))
    return np.asarray((meant / np.maximum(there, 1e-12))[found])
