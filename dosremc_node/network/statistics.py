"""The statistics of a domain: mean and variance of what each batch norm sees of its images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dosremc_node.errors import NoBatchNorm
from dosremc_node.network.banks import batch_norms
from dosremc_node.network.batches import BATCH, Images, channels_last, shuffled, to_network
from dosremc_node.network.prediction import Network


@dataclass(frozen=True, slots=True, eq=False)
class ChannelStatistics:
    """``mean`` and ``variance`` (divided by n, as batch norm divides) of each channel, float64 (channels,)."""

    mean: Tensor
    variance: Tensor

    def blended(self, other: ChannelStatistics, share: float) -> ChannelStatistics:
        """``share`` of the other's and the rest of one's own, mean and variance alike."""
        return ChannelStatistics((1 - share) * self.mean + share * other.mean, (1 - share) * self.variance + share * other.variance)


Statistics = Mapping[str, ChannelStatistics]
"""Of each batch norm, by name, in the order of the network's modules."""


class Moments:
    """A cumulative mean and variance per channel, in float64: batches of any size give what all values at once would give.

    After Chan, Golub and LeVeque (1979): the spread between the batches' means is part of the variance.
    """

    def __init__(self) -> None:
        self.count = 0
        self.shift: Tensor | None = None
        """The first batch's means: values are taken from there, so that single precision within a batch is enough."""
        self.mean: Tensor = torch.zeros(1, dtype=torch.float64)
        self.squares: Tensor = torch.zeros(1, dtype=torch.float64)
        """Squared distances from the mean, summed."""

    def add(self, signal: Tensor) -> None:
        """``signal`` (n, channels, ...)."""
        axes = [0, *range(2, signal.dim())]
        if self.shift is None:
            self.shift = signal.detach().mean(dim=axes, keepdim=True)
            self.mean, self.squares = (torch.zeros_like(self.shift, dtype=torch.float64).flatten() for _ in range(2))
        variance, mean = torch.var_mean(signal.detach() - self.shift, dim=axes, correction=0)
        more = signal.numel() // signal.shape[1]
        apart, total = mean.double() - self.mean, self.count + more
        self.squares += variance.double() * more + apart**2 * (self.count * more / total)
        self.mean += apart * (more / total)
        self.count = total

    def result(self) -> ChannelStatistics:
        shift = torch.zeros(1) if self.shift is None else self.shift.flatten()
        return ChannelStatistics(self.mean + shift.double(), self.squares / self.count)


def measured_statistics(network: Network, images: Images, *, seed: int, batch: int = BATCH) -> Statistics:
    """The statistics of ``images``, in one pass in which nothing of the network moves (PreciseBN: Wu and Johnson, arXiv 2105.07576).

    Each batch is normalised by its own statistics on its way, because those of the domain are known only at the end; batches are
    drawn at random, so that the order of a list does not make them odd. Raises `NoBatchNorm`.
    """
    moments = {name: Moments() for name, _ in batch_norms(network)}
    if not moments:
        raise NoBatchNorm(network=type(network).__name__)
    hooks = [module.register_forward_pre_hook(_adds_to(moments[name])) for name, module in batch_norms(network)]
    channels_last(network)
    try:
        with torch.no_grad(), batch_statistics(network):
            for chosen in shuffled(len(images), batch, np.random.default_rng(seed)):
                network(to_network(network, images.batch(chosen)))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: each.result() for name, each in moments.items()}


def own_statistics(network: nn.Module) -> Statistics:
    """The running mean and variance that the network has."""
    return {name: ChannelStatistics(*(part.double() for part in _running(module))) for name, module in batch_norms(network)}


def put_statistics(network: nn.Module, statistics: Statistics) -> None:
    """Make these the running mean and variance of the batch norms that they name."""
    with torch.no_grad():
        for name, module in batch_norms(network):
            if name in statistics:
                mean, variance = _running(module)
                mean.copy_(statistics[name].mean)
                variance.copy_(statistics[name].variance)


def adapt_statistics(network: Network, images: Images, *, seed: int = 0) -> None:
    """Replace every running mean and variance by those of ``images`` (AdaBN: Li et al., arXiv 1603.04779)."""
    put_statistics(network, measured_statistics(network, images, seed=seed))


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Inside, every batch norm normalises by the batch's statistics, and leaves its own as they are; all else is as when scoring."""
    network.eval()
    modules = [module for _, module in batch_norms(network)]
    try:
        for module in modules:
            module.training, module.track_running_stats = True, False
        yield
    finally:
        for module in modules:
            module.training, module.track_running_stats = False, True


def _adds_to(moments: Moments) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        moments.add(inputs[0])

    return hook


def _running(module: _BatchNorm) -> tuple[Tensor, Tensor]:
    if module.running_mean is None or module.running_var is None:
        raise TypeError("batch norm without statistics of its own")
    return module.running_mean, module.running_var
