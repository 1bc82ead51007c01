"""TTN: how much of the batch's statistics each channel may take, learnt after training from what augmentation does to it.

Lim et al., "TTN: a domain-shift aware batch normalization in test-time adaptation", ICLR 2023 (arXiv 2302.05155).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dosremc_node.network.augmentation import restyled
from dosremc_node.network.banks import batch_norms, filters_frozen
from dosremc_node.network.batches import Chosen, shuffled, to_network
from dosremc_node.network.losses import image_loss
from dosremc_node.network.methods.batch_blend import PAPER_BATCH, BlendedBatchNorm, BlendScorer, blend
from dosremc_node.network.methods.fine_tuning import as_target
from dosremc_node.network.methods.interface import Adapted, Task
from dosremc_node.network.methods.preconditions import check_batch, check_batch_norm, check_source
from dosremc_node.network.prediction import Network
from dosremc_node.network.training import Moment, fit

LAMBDA = 4.0
"""Weight of the squared distance to the prior."""


def ttn(task: Task, *, batch: int = PAPER_BATCH) -> Adapted:
    """Blend source and batch statistics by an alpha per channel. Needs labelled source images, and nothing of the target.

    The prior says how far a channel's gradient turns under augmentation; alpha starts there and learns by cross entropy on augmented
    source images plus lambda |alpha - prior|^2, all weights frozen; at test it is fixed. Raises `BatchOfOne`.
    """
    check_batch_norm(task)
    check_source(task, "ttn")
    check_batch(batch, "ttn")
    network = task.own_network()
    with filters_frozen(network):
        priors = alpha_priors(network, task)
    norms = blend(network, 0.0)
    _learn_alphas(network, norms, priors, task)
    return Adapted(BlendScorer(network, batch, task.seed), network)


def alpha_priors(network: Network, task: Task) -> list[Tensor]:
    """A prior of alpha for each channel of each batch norm, from 0 to 1.

    1 - the cosine between the gradients of the loss with respect to (gamma, beta) on clean and on augmented images, its mean over
    batches, scaled from its smallest to its largest over the whole network, and squared.
    """
    random = np.random.default_rng(task.seed)
    distances, batches = torch.zeros(0), _as_many_as_target(task, random)
    for chosen in batches:
        clean, labels = task.source.batch(chosen), as_target(task.source.malignant[chosen], network)
        one, other = (_gradients(network, images, labels) for images in (clean, restyled(clean, random)))
        distance = 1 - functional.cosine_similarity(one, other, dim=1)
        distances = distance if len(distances) == 0 else distances + distance
    low, high = distances.min(), distances.max()
    scaled = ((distances - low) / (high - low).clamp(min=1e-12)) ** 2
    return list(torch.split(scaled, [len(gamma) for gamma, _ in _gammas_and_betas(network)]))


def _as_many_as_target(task: Task, random: np.random.Generator) -> list[Chosen]:
    """Batches of source images, as many images as the target has, so that all methods cost alike."""
    batches = shuffled(len(task.source), task.plan.batch, random)
    return batches[: -(-len(task.target) // task.plan.batch)]


def _gradients(network: Network, images: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the loss with respect to gamma and beta, (channels of all batch norms, 2)."""
    parameters = _gammas_and_betas(network)
    loss = image_loss(network(to_network(network, images)), labels)
    found = torch.autograd.grad(loss, [each for pair in parameters for each in pair])
    return torch.stack([torch.cat(found[0::2]), torch.cat(found[1::2])], dim=1)


def _learn_alphas(network: Network, norms: Sequence[BlendedBatchNorm], priors: Sequence[Tensor], task: Task) -> None:
    network.requires_grad_(requires_grad=False)
    for norm, prior in zip(norms, priors, strict=True):
        norm.alpha.data.copy_(prior)
        norm.alpha.requires_grad_(True)
    alphas = [norm.alpha for norm in norms]

    def loss(_: Chosen, moment: Moment) -> Tensor:
        chosen = moment.random.integers(0, len(task.source), task.plan.batch)
        images = restyled(task.source.batch(chosen), moment.random)
        prediction = network(to_network(network, images))
        apart = torch.cat([alpha - prior for alpha, prior in zip(alphas, priors, strict=True)])
        return image_loss(prediction, as_target(task.source.malignant[chosen], network)) + LAMBDA * (apart**2).mean()

    plan = replace(task.plan, weight_decay=0.0)
    fit(network, alphas, loss, len(task.target), plan, seed=task.seed, watch=task.watch)
    for alpha in alphas:
        alpha.data.clamp_(0, 1)
        alpha.requires_grad_(False)


def _gammas_and_betas(network: nn.Module) -> list[tuple[nn.Parameter, nn.Parameter]]:
    return [(module.weight, module.bias) for _, module in batch_norms(network)]
