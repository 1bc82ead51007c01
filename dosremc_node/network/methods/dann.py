"""Adversarial adaptation: features from which no one can tell the domain, by gradient reversal.

Ganin et al., "Domain-adversarial training of neural networks" (arXiv 1505.07818), as DoSReMC (arXiv 2508.15452) uses it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dosremc_node.errors import DomainsNotTwo
from dosremc_node.network.augmentation import moved
from dosremc_node.network.banks import bank_of, filters_frozen
from dosremc_node.network.batches import Chosen, device_of, to_network
from dosremc_node.network.domain_banks import DomainBanks
from dosremc_node.network.losses import image_loss
from dosremc_node.network.methods.fine_tuning import as_target, gammas_and_betas, halved
from dosremc_node.network.methods.interface import Adapted, Task
from dosremc_node.network.methods.preconditions import check_source, check_statistics
from dosremc_node.network.methods.scorers import BanksScorer, FixedScorer
from dosremc_node.network.prediction import Network, Prediction
from dosremc_node.network.statistics import adapt_statistics
from dosremc_node.network.training import Moment, StepLoss, fit

WIDTHS = (256, 128)
"""Of the adversary's hidden layers; DoSReMC's is 768-256-128-2, on GMIC's 768 features."""


def dann(task: Task) -> Adapted:
    """Every parameter learns: the class from the source's labels, and features that hide the domain from both, through one batch norm."""
    check_source(task, "dann")
    check_statistics(task, "dann")
    network = task.own_network()
    _oppose(network, list(network.parameters()), task)
    return Adapted(FixedScorer(network), network)


def dann_bnfc(task: Task) -> Adapted:
    """DoSReMC's DA_BNFC: as `dann`, with all filters frozen. One bank serves both domains, and is hoped to serve others."""
    check_source(task, "dann_bnfc")
    check_statistics(task, "dann_bnfc")
    network = task.own_network()
    with filters_frozen(network) as learning:
        _oppose(network, learning, task)
    return Adapted(FixedScorer(network), network, bank_of(network))


def dann_domain_bn(task: Task) -> Adapted:
    """As `dann_bnfc`, with a batch norm of its own for each domain (Chang et al., arXiv 1906.03950); the fully connected layers are shared.

    Each half of a batch goes through its own domain's batch norm. A third domain is scored with the source's.
    """
    check_source(task, "dann_domain_bn")
    check_statistics(task, "dann_domain_bn")
    if task.source_domain == task.target_domain:
        raise DomainsNotTwo(domain=task.source_domain)
    network = task.own_network()
    with filters_frozen(network) as learning:
        twin = twin_of(network)
        adapt_statistics(twin, task.target, seed=task.seed)
        _oppose(network, [*learning, *gammas_and_betas(twin)], task, twin)
    banks = {task.source_domain: bank_of(network), task.target_domain: bank_of(twin)}
    scorer = BanksScorer(DomainBanks(network, banks), otherwise=task.source_domain)
    return Adapted(scorer, twin, banks[task.target_domain])


def twin_of(network: Network) -> Network:
    """A copy that shares every parameter with the network, except those of batch norm."""
    own = {id(parameter) for parameter in gammas_and_betas(network)}
    return copy.deepcopy(network, {id(each): each for each in network.parameters() if id(each) not in own})


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, features: Tensor, strength: float) -> Tensor:
        context.strength = strength  # type: ignore[attr-defined]
        return features.view_as(features)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        return -context.strength * gradients[0], None  # type: ignore[attr-defined]


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """The features as they are; on the way back the gradient is multiplied by ``-strength``."""
    reversed_features: Tensor = _Reversal.apply(features, strength)  # type: ignore[no-untyped-call]
    return reversed_features


def reversal_strength(share: float) -> float:
    """The lambda of gradient reversal, 2 / (1 + exp(-10 p)) - 1: from 0 where training begins to 1 at its end (Ganin et al.)."""
    return 2 / (1 + math.exp(-10 * share)) - 1


def adversary(features: int, seed: int) -> nn.Sequential:
    """Tells the domain from features: features-256-128-2."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        widths = (features, *WIDTHS)
        hidden = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
        return nn.Sequential(*hidden, nn.Linear(WIDTHS[-1], 2))


def _oppose(network: Network, learning: Sequence[nn.Parameter], task: Task, twin: Network | None = None) -> None:
    """Train the network against an adversary; ``twin`` has the target's batch norm, else both domains share one."""
    opponent = adversary(_features_of(network, task), task.seed).to(device_of(network))
    loss = _adversarial_loss(network, twin, opponent, task)
    companions = [opponent] if twin is None else [opponent, twin]
    everything = [*learning, *opponent.parameters()]
    fit(network, everything, loss, len(task.target), halved(task.plan), seed=task.seed, watch=task.watch, companions=companions)


def _adversarial_loss(network: Network, twin: Network | None, opponent: nn.Module, task: Task) -> StepLoss:
    """Batches half source, half target; the class loss is the source's alone."""

    def loss(chosen: Chosen, moment: Moment) -> Tensor:
        drawn = moment.random.integers(0, len(task.source), len(chosen))
        source, target = (moved(images, moment.random) for images in (task.source.batch(drawn), task.target.batch(chosen)))
        ours, features = _judged(network, twin, source, target)
        told = opponent(reverse_gradient(features, reversal_strength(moment.share)))
        domains = torch.arange(2, device=told.device).repeat_interleave(len(chosen))
        return image_loss(ours, as_target(np.asarray(task.source.malignant[drawn]), network)) + functional.cross_entropy(told, domains)

    return loss


def _judged(network: Network, twin: Network | None, source: Tensor, target: Tensor) -> tuple[Prediction, Tensor]:
    """What the network says of the source's images, and the features of both halves."""
    if twin is not None:
        ours = network(to_network(network, source))
        return ours, torch.cat([ours.features, twin(to_network(twin, target)).features])
    both = network(to_network(network, torch.cat([source, target])))
    return _first(both, len(source)), both.features


def _first(prediction: Prediction, count: int) -> Prediction:
    """The first ``count`` images of a batch."""
    return Prediction(
        logits=prediction.logits[:count],
        saliency=None if prediction.saliency is None else prediction.saliency[:count],
        features=prediction.features[:count],
        parts={name: part[:count] for name, part in prediction.parts.items()},
    )


def _features_of(network: Network, task: Task) -> int:
    with torch.no_grad():
        return int(network(to_network(network, task.target.batch([0]))).features.shape[1])
