"""Whether a destination may be spoken to at all, and when it is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable

from dosremc_node.errors import DemonstrationOnly
from dosremc_node.records import Release
from dosremc_node.settings import Destination, Purpose

_DOUBLINGS_AT_MOST = 32


def refuse_clinical_use(release: Release, destination: Destination) -> None:
    """Raise `DemonstrationOnly` where demonstration weights would speak to a clinical destination (promise 14)."""
    if release.demonstration and destination.purpose is not Purpose.TEST:
        raise DemonstrationOnly(release=release.release_id, destination=destination.name)


def backoff(attempt: int, first: float, at_most: float, jitter: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds to wait after the ``attempt``-th failure, counted from 1: exponential, with full jitter.

    The wait lies anywhere between 0 and ``first * 2 ** (attempt - 1)``, never above ``at_most``, so that many documents
    that failed together do not come back together.
    """
    doublings = min(max(attempt - 1, 0), _DOUBLINGS_AT_MOST)
    return jitter(0.0, min(at_most, first * 2**doublings))
