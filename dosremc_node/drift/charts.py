"""Cumulative sums: from which exam on a scanner no longer scores as it did.

A chart adds up how far each exam lies above (or below) its reference, less an allowance, never below zero, and alarms where the sum
passes its limit (Page, Biometrika 1954). The limit is chosen for an average run length: so many exams pass between two false alarms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dosremc_node.drift.reference import Values

Signal = Callable[[Values, Values], Values]
"""From reference values (n,) and a stream (m,) to the stream in standard deviations of the reference (m,)."""

REPLICATES = 300
HORIZON = 3
"""In average run lengths: how long a run is followed. Cutting longer ones short makes the limit higher, never lower."""


@dataclass(frozen=True, slots=True)
class Chart:
    """``allowance`` (what is let pass at each exam) and ``limit`` in standard deviations of the reference."""

    allowance: float
    limit: float

    def alarm(self, signal: Values) -> int | None:
        """The index of the exam at which the chart alarms, up or down; None where it does not."""
        beyond = np.flatnonzero(farthest(signal[None], self.allowance)[0] >= self.limit)
        return int(beyond[0]) if len(beyond) else None

    def path(self, signal: Values) -> Values:
        """The larger of both sums, exam by exam."""
        return np.asarray(np.maximum(_sums(signal[None], self.allowance), _sums(-signal[None], self.allowance))[0])


def farthest(signals: Values, allowance: float) -> Values:
    """The larger of both sums, so far: (runs, n) from signals (runs, n). It passes a limit where the chart first alarms."""
    return np.maximum.accumulate(np.maximum(_sums(signals, allowance), _sums(-signals, allowance)), axis=1)


def chart_for(signal: Signal, reference: Values, *, allowance: float, run_length: float, seed: int = 0) -> Chart:
    """The chart whose mean run length on exams like the reference's is at least ``run_length``.

    The reference is itself a sample, so each of the simulated runs is held against another one, drawn from it with replacement.
    """
    random, steps = np.random.default_rng(seed), int(HORIZON * run_length)
    runs = np.empty((REPLICATES, steps), np.float32)
    for run in runs:
        drawn = random.choice(reference, len(reference))
        run[:] = farthest(signal(drawn, random.choice(reference, steps))[None], allowance)[0]
    return Chart(allowance, _limit(runs, run_length))


def _limit(runs: NDArray[np.float32], run_length: float) -> float:
    """The least limit, to a hundredth, at which runs last long enough in the mean."""
    low, high = 0.0, float(runs.max()) + 0.01
    while high - low > 0.01:
        middle = (low + high) / 2
        lasted = np.mean([np.searchsorted(run, middle) + 1 for run in runs])
        low, high = (low, middle) if lasted >= run_length else (middle, high)
    return round(high, 2)


def _sums(signals: Values, allowance: float) -> Values:
    """max(0, sum + signal - allowance), exam by exam, as a sum less its least value so far."""
    total = np.cumsum(signals - allowance, axis=1)
    return np.asarray(total - np.minimum(np.minimum.accumulate(total, axis=1), 0.0))


# --- What is charted --------------------------------------------------------------------------------------------------


def normal_scores(reference: Values, stream: Values) -> Values:
    """Each value's rank among the reference as a quantile of the normal distribution: no outlier can move a chart by itself."""
    ordered = np.sort(reference)
    twice = np.searchsorted(ordered, stream, "left") + np.searchsorted(ordered, stream, "right")
    return np.asarray(_quantiles(len(ordered))[twice])


def standardised_share(reference: Values, stream: Values) -> Values:
    """What is 0 or 1, such as flagged or not, less its share in the reference, in standard deviations."""
    share = (reference.sum() + 0.5) / (len(reference) + 1)
    return np.asarray((stream - share) / np.sqrt(share * (1 - share)))


@lru_cache(maxsize=8)
def _quantiles(size: int) -> Values:
    """The normal quantile of each rank, in halves, among so many values."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((twice / 2 + 0.5) / (size + 1)) for twice in range(2 * size + 1)])
