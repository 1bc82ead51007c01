"""How far apart two sets of scores lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

TERMS = 100


def population_stability_index(reference: Values, live: Values, bins: int = 10) -> float:
    """The PSI over bins that hold equally many reference values: 0 where both are alike; by habit above 0.25 is a marked shift.

    Half a case is added to each bin, so that an empty one is no infinity (Siddiqi, Credit Risk Scorecards, 2006).
    """
    edges = np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1])
    expected, found = (_shares(np.searchsorted(edges, values, "right"), bins) for values in (reference, live))
    return float(np.sum((found - expected) * np.log(found / expected)))


def ks_distance(reference: Values, live: Values) -> tuple[float, float]:
    """The largest gap between both cumulative distributions, and the p value of "both are one" (Kolmogorov-Smirnov, asymptotic)."""
    everything = np.concatenate([reference, live])
    below_reference, below_live = (np.searchsorted(np.sort(values), everything, "right") / len(values) for values in (reference, live))
    gap = float(np.abs(below_reference - below_live).max())
    # Stephens' correction makes the asymptotic law good from a handful of cases on (Numerical Recipes, 14.3).
    size = np.sqrt(len(reference) * len(live) / (len(reference) + len(live)))
    scaled = gap * (size + 0.12 + 0.11 / size)
    terms = np.arange(1, TERMS + 1)
    p = 2 * np.sum((-1.0) ** (terms - 1) * np.exp(-2 * (terms * scaled) ** 2)) if scaled > 0.2 else 1.0
    return gap, float(np.clip(p, 0, 1))


def _shares(places: NDArray[np.intp], bins: int) -> Values:
    counts = np.bincount(places, minlength=bins) + 0.5
    return np.asarray(counts / counts.sum())
