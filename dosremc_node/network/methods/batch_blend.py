"""Batch norm at test time: the batch's statistics alone, or blended with the source's, per channel if need be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dosremc_node.network.banks import batch_norms
from dosremc_node.network.batches import Images, channels_last, to_network
from dosremc_node.network.methods.interface import Adapted, Task
from dosremc_node.network.methods.preconditions import check_batch, check_batch_norm
from dosremc_node.network.methods.scorers import BatchScorer, back_in_order, mixed_batches
from dosremc_node.network.prediction import Network
from dosremc_node.records import Domain

PAPER_BATCH = 8


def batch_statistics_only(task: Task, *, batch: int = PAPER_BATCH) -> Adapted:
    """Every batch is normalised by its own statistics ("tt" in DoSReMC, batches of 8; Nado et al., arXiv 2006.10963).

    A score then depends on who else is in the batch. Raises `BatchOfOne`.
    """
    check_batch_norm(task)
    check_batch(batch, "batch statistics")
    network = task.own_network()
    return Adapted(BatchScorer(network, batch, task.seed), network)


def alpha_bn(task: Task, *, alpha: float = 0.5, batch: int = PAPER_BATCH) -> Adapted:
    """``alpha`` of the batch's statistics and the rest of the source's, the same for all channels (You et al., arXiv 2110.04065).

    You et al. call alpha the source's share; here it is the batch's, as TTN has it. Raises `BatchOfOne`.
    """
    check_batch_norm(task)
    check_batch(batch, "alpha_bn")
    network = task.own_network()
    blend(network, alpha)
    return Adapted(BlendScorer(network, batch, task.seed), network)


class BlendedBatchNorm(nn.Module):
    """A batch norm with its own gamma, beta and statistics, that blends ``alpha`` (channels,) of the batch's statistics in.

    mean = a batch + (1 - a) source; variance = a batch + (1 - a) source + a (1 - a) (difference of the means)^2: the moments of a
    mixture of both (Lim et al., ICLR 2023). It never moves its statistics, whatever the mode.
    """

    def __init__(self, norm: _BatchNorm, alpha: float) -> None:
        super().__init__()
        if norm.running_mean is None or norm.running_var is None:
            raise TypeError("batch norm without statistics of its own")
        self.norm = norm
        self.source_mean, self.source_variance = norm.running_mean, norm.running_var
        self.alpha = nn.Parameter(torch.full_like(norm.running_mean, alpha), requires_grad=False)

    def forward(self, signal: Tensor) -> Tensor:
        axes = [0, *range(2, signal.dim())]
        shape = [1, -1, *[1] * (signal.dim() - 2)]
        batch_variance, batch_mean = torch.var_mean(signal, dim=axes, correction=0)
        mean, variance = blended(self.alpha, batch_mean, batch_variance, self.source_mean, self.source_variance)
        scale = self.norm.weight * torch.rsqrt(variance + self.norm.eps)
        return signal * scale.view(shape) + (self.norm.bias - mean * scale).view(shape)


def blended(alpha: Tensor, batch_mean: Tensor, batch_variance: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a mixture: ``alpha`` of the batch, the rest of the source."""
    apart = batch_mean - mean
    return mean + alpha * apart, alpha * batch_variance + (1 - alpha) * variance + alpha * (1 - alpha) * apart**2


def blend(network: nn.Module, alpha: float) -> list[BlendedBatchNorm]:
    """Put a blended batch norm in the place of each of the network's, and return them in the network's order."""
    made = []
    for name, module in list(batch_norms(network)):
        parent, _, attribute = name.rpartition(".")
        made.append(BlendedBatchNorm(module, alpha))
        setattr(network.get_submodule(parent), attribute, made[-1])
    return made


@dataclass(frozen=True, slots=True)
class BlendScorer:
    """A network whose batch norms blend, in batches drawn at random."""

    network: Network
    batch: int
    seed: int

    def __call__(self, images: Images, domain: Domain) -> NDArray[np.float64]:  # noqa: ARG002 - the same for all
        batches = mixed_batches(len(images), self.batch, self.seed)
        channels_last(self.network.eval())
        with torch.no_grad():
            return back_in_order([self.network(to_network(self.network, images.batch(chosen))).logits for chosen in batches], batches)
