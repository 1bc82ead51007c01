"""Learning from labels of the target: which part of the network may, and whether the source's images help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dosremc_node.network.augmentation import moved
from dosremc_node.network.banks import bank_of, batch_norms, filters_frozen
from dosremc_node.network.batches import Chosen, Images, device_of, to_network
from dosremc_node.network.losses import image_loss
from dosremc_node.network.methods.interface import Adapted, Task
from dosremc_node.network.methods.preconditions import check_source, check_statistics, target_labels
from dosremc_node.network.methods.scorers import FixedScorer
from dosremc_node.network.prediction import Network
from dosremc_node.network.statistics import adapt_statistics
from dosremc_node.network.training import UNWATCHED, Moment, Plan, Watch, fit


def bnfc(task: Task, *, statistics_move: bool = True) -> Adapted:
    """DoSReMC's: all filters frozen; gamma, beta and the fully connected layers learn (arXiv 2508.15452).

    As in the paper the running statistics move while it learns, an exponential average over batches. With ``statistics_move=False``
    they are measured first and then stand still, so that no example depends on its batch mates.
    """
    malignant = target_labels(task, "bnfc")
    check_statistics(task, "bnfc")
    network = task.own_network()
    train_bank(network, task.target, malignant, task.plan, seed=task.seed, watch=task.watch, statistics_move=statistics_move)
    return Adapted(FixedScorer(network), network, bank_of(network))


def bn_only(task: Task) -> Adapted:
    """As `bnfc`, but the fully connected layers stay the source's: the row that the paper lacks."""
    malignant = target_labels(task, "bn_only")
    check_statistics(task, "bn_only")
    network = task.own_network()
    with filters_frozen(network):
        _train(network, gammas_and_betas(network), task.target, malignant, task.plan, seed=task.seed, watch=task.watch)
    return Adapted(FixedScorer(network), network, bank_of(network))


def full(task: Task) -> Adapted:
    """Every parameter learns from the target: the usual fine-tuning. Filters move, so there is no bank, and the source is forgotten."""
    malignant = target_labels(task, "full")
    network = task.own_network()
    _train(network, list(network.parameters()), task.target, malignant, task.plan, seed=task.seed, watch=task.watch)
    return Adapted(FixedScorer(network), network)


def joint(task: Task) -> Adapted:
    """Every parameter learns from batches half source, half target, through one batch norm."""
    malignant = target_labels(task, "joint")
    check_source(task, "joint")
    network = task.own_network()

    def loss(chosen: Chosen, moment: Moment) -> Tensor:
        drawn = moment.random.integers(0, len(task.source), len(chosen))
        labels = np.concatenate([task.source.malignant[drawn], malignant[chosen]])
        images = torch.cat([task.source.batch(drawn), task.target.batch(chosen)])
        return labelled_loss(network, images, labels, moment)

    fit(network, list(network.parameters()), loss, len(task.target), halved(task.plan), seed=task.seed, watch=task.watch)
    return Adapted(FixedScorer(network), network)


def train_bank(
    network: Network,
    images: Images,
    malignant: NDArray[np.bool_],
    plan: Plan,
    *,
    seed: int,
    watch: Watch = UNWATCHED,
    statistics_move: bool = False,
    measured_on: Images | None = None,
) -> None:
    """Give the network a bank for the domain of ``images``, in place: gamma, beta and the fully connected layers learn from labels.

    Unless the statistics move with the batches, they are measured first: on ``measured_on`` where labelled images are not drawn as the
    domain's are, else on ``images``. Raises `FiltersMoved`.
    """
    with filters_frozen(network) as learning:
        if not statistics_move:
            adapt_statistics(network, images if measured_on is None else measured_on, seed=seed)
        _train(network, learning, images, malignant, plan, seed=seed, watch=watch, statistics_move=statistics_move)


def gammas_and_betas(network: nn.Module) -> list[nn.Parameter]:
    """What learns of batch norm alone."""
    return [parameter for _, module in batch_norms(network) for parameter in module.parameters()]


def labelled_loss(network: Network, images: Tensor, malignant: NDArray[np.bool_], moment: Moment) -> Tensor:
    """The image loss of a batch, moved at random."""
    return image_loss(network(to_network(network, moved(images, moment.random))), as_target(malignant, network))


def as_target(malignant: NDArray[np.bool_], network: nn.Module) -> Tensor:
    """Labels as cross entropy wants them, where the network is."""
    return torch.from_numpy(malignant.astype(np.float32)).to(device_of(network))


def halved(plan: Plan) -> Plan:
    """The plan for batches whose other half comes from the other domain."""
    return replace(plan, batch=max(2, plan.batch // 2))


def _train(
    network: Network,
    learning: Sequence[nn.Parameter],
    images: Images,
    malignant: NDArray[np.bool_],
    plan: Plan,
    *,
    seed: int,
    watch: Watch,
    statistics_move: bool = True,
) -> None:
    def loss(chosen: Chosen, moment: Moment) -> Tensor:
        return labelled_loss(network, images.batch(chosen), malignant[chosen], moment)

    fit(network, learning, loss, len(images), plan, seed=seed, watch=watch, statistics_move=statistics_move)
