"""Several hypotheses at once: p values that count how many were asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (Scandinavian Journal of Statistics 1979), in the order given: the chance that any of those
    below a level is below it without cause is at most that level, however they hang together.
    """
    order = np.argsort(p_values, kind="stable")
    steps = [(len(p_values) - rank) * p_values[index] for rank, index in enumerate(order)]
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(p_values) else []
    return [float(value) for value in adjusted]
