"""TENT: gamma and beta follow the entropy of the network's own answers, batch after batch, while it scores.

Wang et al., "Tent: fully test-time adaptation by entropy minimization", ICLR 2021 (arXiv 2006.10726).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dosremc_node.network.banks import filters_frozen
from dosremc_node.network.batches import BATCH, Images, channels_last, to_network
from dosremc_node.network.methods.fine_tuning import gammas_and_betas
from dosremc_node.network.methods.interface import Adapted, Task
from dosremc_node.network.methods.preconditions import check_batch, check_batch_norm
from dosremc_node.network.methods.scorers import back_in_order, mixed_batches
from dosremc_node.network.prediction import Network
from dosremc_node.network.statistics import batch_statistics
from dosremc_node.records import Domain

RATE = 1e-3
"""Of Adam, as its authors have it; one step a batch."""


def tent(task: Task, *, batch: int = BATCH, rate: float = RATE) -> Adapted:
    """Batch statistics, and gamma and beta moved to make the answers certain. Needs nothing but the images that are scored.

    Where nearly all images are benign, certainty is had most cheaply by calling everything benign: at screening prevalence it
    collapses. It is here to be measured, not to be used. Raises `BatchOfOne`.
    """
    check_batch_norm(task)
    check_batch(batch, "tent")
    network = task.own_network()
    return Adapted(TentScorer(network, batch, rate, task.seed), network)


@dataclass(frozen=True, slots=True)
class TentScorer:
    """Starts from the same network at each call, so that what was scored before changes nothing."""

    network: Network
    batch: int
    rate: float
    seed: int

    def __call__(self, images: Images, domain: Domain) -> NDArray[np.float64]:  # noqa: ARG002 - the same for all
        return self.follow(images)[1]

    def follow(self, images: Images) -> tuple[Network, NDArray[np.float64]]:
        """What the network has become after these images, and the logits that it gave them on the way."""
        network = copy.deepcopy(self.network)
        channels_last(network)
        batches = mixed_batches(len(images), self.batch, self.seed)
        optimiser = torch.optim.Adam(gammas_and_betas(network), lr=self.rate)
        with filters_frozen(network), batch_statistics(network):
            parts = [_step(network, optimiser, to_network(network, images.batch(chosen))) for chosen in batches]
        return network, back_in_order(parts, batches)


def _step(network: Network, optimiser: torch.optim.Optimizer, images: Tensor) -> Tensor:
    """The logits of a batch, and after that one step."""
    scores = network(images).logits
    optimiser.zero_grad()
    torch.autograd.backward(entropy(scores).mean())
    optimiser.step()
    return scores.detach()


def entropy(scores: Tensor) -> Tensor:
    """Of the answer that a logit stands for, in nats."""
    return functional.softplus(scores) - scores * scores.sigmoid()
