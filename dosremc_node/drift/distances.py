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
    return weighted_ks_distance(reference, live, np.ones(len(live)))


def weighted_ks_distance(reference: Values, live: Values, weights: Values) -> tuple[float, float]:
    """The same where each live value counts as ``weights`` (n,) says; as many values as Kish's effective size of them are worth."""
    everything = np.concatenate([reference, live])
    below_reference = np.searchsorted(np.sort(reference), everything, "right") / len(reference)
    order = np.argsort(live, kind="stable")
    summed = np.concatenate([[0.0], np.cumsum(weights[order])]) / weights.sum()
    gap = float(np.abs(below_reference - summed[np.searchsorted(live[order], everything, "right")]).max())
    effective = weights.sum() ** 2 / (weights**2).sum()
    return gap, _p_of_gap(gap, float(len(reference) * effective / (len(reference) + effective)))


def _p_of_gap(gap: float, size: float) -> float:
    # Stephens' correction makes the asymptotic law good from a handful of cases on (Numerical Recipes, 14.3).
    scaled = gap * (np.sqrt(size) + 0.12 + 0.11 / np.sqrt(size))
    terms = np.arange(1, TERMS + 1)
    p = 2 * np.sum((-1.0) ** (terms - 1) * np.exp(-2 * (terms * scaled) ** 2)) if scaled > 0.2 else 1.0
    return float(np.clip(p, 0, 1))


def _shares(places: NDArray[np.intp], bins: int) -> Values:
    counts = np.bincount(places, minlength=bins) + 0.5
    return np.asarray(counts / counts.sum())
