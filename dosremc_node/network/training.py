"""Training: filters once, on the source domain, with the lesions' places; then a bank for each further domain, filters frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dosremc_node.errors import FiltersMoved
from dosremc_node.network.banks import batch_norms, filters_digest, freeze_filters
from dosremc_node.network.examples import Examples
from dosremc_node.network.model import STRIDE

BATCH = 32
PEAK_LEARNING_RATE = 3e-3
BANK_LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4
LESION_WEIGHT = 29.0
IMAGE_LOSS_SHARE = 0.3
LARGEST_SHIFT = 6

Progress = Callable[[float], None]


def train_filters(network: nn.Module, examples: Examples, *, epochs: int, seed: int, progress: Progress = lambda _: None) -> None:
    """Train everything, with one cycle of the learning rate.

    Without the lesions' places whole images do not learn: the saliency map is held against a Gaussian at each malignant lesion.
    """
    _fit(network, list(network.parameters()), examples, PEAK_LEARNING_RATE, epochs, seed, progress, statistics_move=True)
    adapt_statistics(network, examples)


def train_bank(network: nn.Module, examples: Examples, *, epochs: int, seed: int, progress: Progress = lambda _: None) -> None:
    """Give the network a bank for the domain of ``examples``: its statistics, then gamma, beta and the fully connected layer (BNFC).

    The statistics stand still while the rest learns, so that no example depends on its batch mates. Raises `FiltersMoved`.
    """
    before = filters_digest(network)
    adapt_statistics(network, examples)
    _fit(network, freeze_filters(network), examples, BANK_LEARNING_RATE, epochs, seed, progress, statistics_move=False)
    network.requires_grad_(requires_grad=True)
    if filters_digest(network) != before:
        raise FiltersMoved


def adapt_statistics(network: nn.Module, examples: Examples) -> None:
    """Replace every running mean and variance by those of ``examples``: one pass, cumulative sums in float64 (AdaBN, PreciseBN)."""
    moments = {name: _Moments() for name, _ in batch_norms(network)}
    hooks = [module.register_forward_pre_hook(moments[name].hook) for name, module in batch_norms(network)]
    network.train()
    with torch.no_grad():
        for chosen in _in_order(len(examples)):
            network(examples.batch(chosen))
        for name, module in batch_norms(network):
            mean, variance = moments[name].result()
            module.running_mean.copy_(mean)  # type: ignore[union-attr]
            module.running_var.copy_(variance)  # type: ignore[union-attr]
    for hook in hooks:
        hook.remove()
    network.eval()


def logits(network: nn.Module, examples: Examples) -> NDArray[np.float64]:
    """The logit of every example, shape (n,), with the network's fixed statistics."""
    network.eval()
    with torch.no_grad():
        return np.concatenate([network(examples.batch(chosen))[0].double().numpy() for chosen in _in_order(len(examples))])


class _Moments:
    """Sums of a batch norm's input per channel."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor = torch.zeros(1, dtype=torch.float64)
        self.squares: Tensor = torch.zeros(1, dtype=torch.float64)

    def hook(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        signal = inputs[0].double()
        self.count += signal.numel() // signal.shape[1]
        self.total = self.total + signal.sum(dim=(0, 2, 3))
        self.squares = self.squares + (signal**2).sum(dim=(0, 2, 3))

    def result(self) -> tuple[Tensor, Tensor]:
        mean = self.total / self.count
        return mean, self.squares / self.count - mean**2


def _fit(  # noqa: PLR0917 - one private loop for both kinds of training
    network: nn.Module,
    learning: list[nn.Parameter],
    examples: Examples,
    rate: float,
    epochs: int,
    seed: int,
    progress: Progress,
    *,
    statistics_move: bool,
) -> None:
    network.train(statistics_move)
    steps = epochs * -(-len(examples) // BATCH)
    optimiser = torch.optim.AdamW(learning, lr=rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps)
    random = np.random.default_rng(seed)
    for step, chosen in enumerate(_shuffled(len(examples), epochs, random), start=1):
        optimiser.zero_grad()
        torch.autograd.backward(loss(network, *_augmented(examples, chosen, random)))
        optimiser.step()
        schedule.step()
        progress(step / steps)
    network.eval()


def loss(network: nn.Module, images: Tensor, lesions: Tensor) -> Tensor:
    """Cross entropy of the saliency map against Gaussians at the lesions (n, 3), plus a share of that of the image's logit."""
    logit, cells = network(images)
    target = lesion_map(lesions, cells.shape[2], cells.shape[3])
    per_cell = functional.binary_cross_entropy_with_logits(cells[:, 0], target, weight=1 + LESION_WEIGHT * target)
    per_image = functional.binary_cross_entropy_with_logits(logit, (~lesions[:, 0].isnan()).float())
    return per_cell + IMAGE_LOSS_SHARE * per_image


def lesion_map(lesions: Tensor, height: int, width: int) -> Tensor:
    """Gaussians of a lesion's size, 1 at its centre, on the grid of cells: from (n, 3) to (n, height, width)."""
    column = (torch.arange(width) + 0.5) * STRIDE
    row = (torch.arange(height) + 0.5) * STRIDE
    x, y, radius = (lesions[:, index, None, None] for index in range(3))
    squared = (column[None, None, :] - x) ** 2 + (row[None, :, None] - y) ** 2
    return torch.exp(-squared / (2 * radius.clamp(min=0.9 * STRIDE) ** 2)).nan_to_num(0.0)


def _augmented(examples: Examples, chosen: NDArray[np.intp], random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A batch, shifted by some pixels and turned upside down every second time; the chest wall stays where it is."""
    images, lesions = examples.batch(chosen), torch.from_numpy(examples.lesions[chosen])
    shift = int(random.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1))
    images = torch.roll(images, shift, dims=2)
    lesions[:, 1] += shift
    if random.random() < 0.5:
        images = images.flip(2)
        lesions[:, 1] = images.shape[2] - lesions[:, 1]
    return images, lesions


def _in_order(count: int) -> Iterator[NDArray[np.intp]]:
    return (np.arange(start, min(start + BATCH, count)) for start in range(0, count, BATCH))


def _shuffled(count: int, epochs: int, random: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    for _ in range(epochs):
        order = random.permutation(count)
        yield from (order[start : start + BATCH] for start in range(0, count, BATCH))
