"""Scorers: with fixed statistics, with those of the batch, or with a bank for each domain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dosremc_node.network.batches import Chosen, Images, channels_last, shuffled, to_network
from dosremc_node.network.domain_banks import DomainBanks
from dosremc_node.network.methods.preconditions import check_batch
from dosremc_node.network.prediction import Network
from dosremc_node.network.scoring import joined, logits
from dosremc_node.network.statistics import batch_statistics
from dosremc_node.records import Domain


@dataclass(frozen=True, slots=True)
class FixedScorer:
    """One network with fixed statistics for every domain."""

    network: Network

    def __call__(self, images: Images, domain: Domain) -> NDArray[np.float64]:  # noqa: ARG002 - the same for all
        return logits(self.network, images)


@dataclass(frozen=True, slots=True)
class BatchScorer:
    """One network, whose batch norms use the statistics of the batch: a score depends on who else is in it."""

    network: Network
    batch: int
    seed: int

    def __call__(self, images: Images, domain: Domain) -> NDArray[np.float64]:  # noqa: ARG002 - the same for all
        batches = mixed_batches(len(images), self.batch, self.seed)
        channels_last(self.network)
        with torch.no_grad(), batch_statistics(self.network):
            return back_in_order([self.network(to_network(self.network, images.batch(chosen))).logits for chosen in batches], batches)


@dataclass(frozen=True, slots=True)
class BanksScorer:
    """A bank for each domain. Images of a domain that has none are scored with the bank of ``otherwise``: a table needs a figure there.

    In service they are not scored at all (`NoBankForDomain`).
    """

    banks: DomainBanks
    otherwise: Domain

    def __call__(self, images: Images, domain: Domain) -> NDArray[np.float64]:
        known = domain if domain in self.banks.domains else self.otherwise
        return logits(self.banks.network_of(known), images)


def mixed_batches(count: int, size: int, seed: int) -> list[Chosen]:
    """Batches drawn at random, as studies mix in a worklist; raises `BatchOfOne`."""
    check_batch(min(size, count), "batch statistics")
    return shuffled(count, size, np.random.default_rng(seed))


def back_in_order(parts: list[Tensor], batches: list[Chosen]) -> NDArray[np.float64]:
    """Logits of such batches in the order of the images."""
    scores = np.empty(sum(len(chosen) for chosen in batches))
    scores[np.concatenate(batches)] = joined(parts)
    return scores
