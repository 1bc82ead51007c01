"""What is sent, whether a destination may be spoken to at all, what it does not take, and when it is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from dosremc_node.delivery.sop_classes import candidates, names
from dosremc_node.delivery.statuses import REFUSED, SKIPPED
from dosremc_node.errors import DemonstrationOnly
from dosremc_node.records import DeliveryResult, Release
from dosremc_node.settings import Destination, NotAccepted, Purpose

_DOUBLINGS_AT_MOST = 32


class Sendable(Protocol):
    """What is sent: a `records.Document` is one. ``content`` is a whole Part 10 file."""

    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def content(self) -> bytes: ...


Rendition = Callable[[Sendable, str], Sendable]
"""A document under another SOP class, of which the bytes are kept by the time it is given back."""


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


def not_accepted(peer: Destination, document: Sendable) -> DeliveryResult:
    """A document of which the peer takes no SOP class: it waits for a person, or is left out, as the destination's settings say."""
    classes = names(candidates(document.sop_class_uid, peer.structured_reports))
    why = f"The destination does not accept this SOP class: {classes}."
    if peer.not_accepted is NotAccepted.SKIP:
        return DeliveryResult(document.sop_instance_uid, SKIPPED, None, f'{why} It is left out, as not_accepted = "skip" says.')
    remedy = 'Have the destination accept it, ask for other documents, or set not_accepted = "skip".'
    return DeliveryResult(document.sop_instance_uid, REFUSED, None, f"{why} {remedy}")
