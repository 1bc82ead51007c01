"""What every method of adaptation gets, and what it gives back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dosremc_node.network.banks import Bank
from dosremc_node.network.batches import Images, LabelledImages, channels_last
from dosremc_node.network.prediction import Network
from dosremc_node.network.training import UNWATCHED, Plan, Watch
from dosremc_node.records import Domain

SOURCE, TARGET = Domain("source"), Domain("target")


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Take a network from one domain to another.

    ``network`` was trained on the source; no method changes it. ``source`` are labelled images of the domain it was trained on, and
    ``target`` images of the other one; ``malignant``, bool (n,), says what the target's images show, None where nobody knows yet.
    ``plan``: an epoch is one pass over the target's images, for every method, so that their costs compare. ``seed`` decides on every
    batch, augmentation and initial weight: on a processor the same task gives the same bits.
    """

    network: Network
    source: LabelledImages
    target: Images
    malignant: NDArray[np.bool_] | None
    plan: Plan
    seed: int
    source_domain: Domain = SOURCE
    target_domain: Domain = TARGET
    watch: Watch = UNWATCHED

    def own_network(self) -> Network:
        """A copy of the network, to be adapted."""
        network = copy.deepcopy(self.network).eval()
        channels_last(network)
        return network


class Scorer(Protocol):
    """Scores images of a domain; what a method learnt is in it."""

    def __call__(self, images: Images, domain: Domain) -> NDArray[np.float64]:
        """The logit of malignancy of every image, shape (n,), in the order of the images.

        ``domain`` is where the images come from. Only scorers with a bank for each domain look at it. Scorers that use the statistics
        of the batch draw their batches at random, by the task's seed, as studies mix in a worklist. Raises `BatchOfOne`.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """``scorer`` scores any domain's images. ``bank`` is the target's, None where the result is no bank: filters moved, or there is
    nothing to keep because the batch decides. ``network`` is the adapted network, with the target's bank in it where there is one.
    """

    scorer: Scorer
    network: Network
    bank: Bank | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the table. ``adapt`` raises what the method's preconditions ask for before anything is computed."""

    title: str
    reference: str
    adapt: Callable[[Task], Adapted]
    needs_labels: bool = False
    """Of the target's images."""
    needs_source: bool = False
    """The source's images, which a hospital rarely has."""
