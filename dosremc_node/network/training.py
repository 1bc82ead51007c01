"""Training: filters once, on the source domain, with the lesions' places; then a bank for each further domain, filters frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dosremc_node.errors import FiltersMoved
from dosremc_node.network.banks import batch_norms, filters_digest, freeze_filters
from dosremc_node.network.examples import Examples
from dosremc_node.network.prediction import Network, saliency_of

BATCH = 32
PEAK_LEARNING_RATE = 3e-3
BANK_LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4
LESION_WEIGHT = 29.0
IMAGE_LOSS_SHARE = 0.3
LARGEST_SHIFT = 6
CROP = 80
LESION_MARGIN = 8
CROP_EPOCHS_FOR_A_WHOLE = 6
WHOLE_IMAGE_LEARNING_RATE = 1.5e-3

Progress = Callable[[float], None]


def train_filters(network: Network, examples: Examples, *, epochs: int, seed: int, progress: Progress = lambda _: None) -> None:
    """Train everything, each phase with one cycle of the learning rate: first on crops, then on whole images.

    Without the lesions' places whole images do not learn: the saliency map is held against a Gaussian at each malignant lesion. Crops
    that hold every lesion teach the filters at a fifth of the cost; whole images then teach what else a breast can show.
    """
    whole = max(1, epochs // CROP_EPOCHS_FOR_A_WHOLE)
    phases = (_Phase(epochs, PEAK_LEARNING_RATE, CROP), _Phase(whole, WHOLE_IMAGE_LEARNING_RATE, None))
    for number, phase in enumerate(phases):
        _fit(network, list(network.parameters()), examples, phase, seed + number, progress)
    adapt_statistics(network, examples)


def train_bank(network: Network, examples: Examples, *, epochs: int, seed: int, progress: Progress = lambda _: None) -> None:
    """Give the network a bank for the domain of ``examples``: its statistics, then gamma, beta and the fully connected layer (BNFC).

    The statistics stand still while the rest learns, so that no example depends on its batch mates. Raises `FiltersMoved`.
    """
    before = filters_digest(network)
    adapt_statistics(network, examples)
    phase = _Phase(epochs, BANK_LEARNING_RATE, crop=None, statistics_move=False)
    _fit(network, freeze_filters(network), examples, phase, seed, progress)
    network.requires_grad_(requires_grad=True)
    if filters_digest(network) != before:
        raise FiltersMoved


def adapt_statistics(network: Network, examples: Examples) -> None:
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


def logits(network: Network, examples: Examples) -> NDArray[np.float64]:
    """The logit of every example, shape (n,), with the network's fixed statistics."""
    network.eval()
    with torch.no_grad():
        return np.concatenate([network(examples.batch(chosen)).logits.double().numpy() for chosen in _in_order(len(examples))])


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


@dataclass(frozen=True, slots=True)
class _Phase:
    """``crop`` is the side of the squares that are trained on, in pixels; None stands for whole images."""

    epochs: int
    peak_rate: float
    crop: int | None
    statistics_move: bool = True


def _fit(network: Network, learning: list[nn.Parameter], examples: Examples, phase: _Phase, seed: int, progress: Progress) -> None:  # noqa: PLR0917
    network.train(phase.statistics_move)
    steps = phase.epochs * -(-len(examples) // BATCH)
    optimiser = torch.optim.AdamW(learning, lr=phase.peak_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=phase.peak_rate, total_steps=steps)
    random = np.random.default_rng(seed)
    for step, chosen in enumerate(_shuffled(len(examples), phase.epochs, random), start=1):
        batch = _shifted(examples, chosen, random) if phase.crop is None else _cropped(examples, chosen, phase.crop, random)
        optimiser.zero_grad()
        torch.autograd.backward(loss(network, *_turned(*batch, random)))
        optimiser.step()
        schedule.step()
        progress(step / steps)
    network.eval()


def loss(network: Network, images: Tensor, lesions: Tensor) -> Tensor:
    """Cross entropy of the saliency map against Gaussians at the lesions (n, 3), plus a share of that of the image's logit."""
    prediction = network(images)
    cells = saliency_of(network, prediction)
    target = lesion_map(lesions, cells.shape[2], cells.shape[3], images.shape[2] // cells.shape[2])
    per_cell = functional.binary_cross_entropy_with_logits(cells[:, 0], target, weight=1 + LESION_WEIGHT * target)
    per_image = functional.binary_cross_entropy_with_logits(prediction.logits, (~lesions[:, 0].isnan()).float())
    return per_cell + IMAGE_LOSS_SHARE * per_image


def lesion_map(lesions: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Gaussians of a lesion's size, 1 at its centre, on a grid of cells of ``stride`` pixels: from (n, 3) to (n, height, width)."""
    column = (torch.arange(width) + 0.5) * stride
    row = (torch.arange(height) + 0.5) * stride
    x, y, radius = (lesions[:, index, None, None] for index in range(3))
    squared = (column[None, None, :] - x) ** 2 + (row[None, :, None] - y) ** 2
    return torch.exp(-squared / (2 * radius.clamp(min=0.9 * stride) ** 2)).nan_to_num(0.0)


def _shifted(examples: Examples, chosen: NDArray[np.intp], random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Whole images, up or down by some pixels; the chest wall stays where it is."""
    lesions = torch.from_numpy(examples.lesions[chosen])
    shift = int(random.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1))
    lesions[:, 1] += shift
    return torch.roll(examples.batch(chosen), shift, dims=2), lesions


def _cropped(examples: Examples, chosen: NDArray[np.intp], side: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A square of each image: anywhere, but with the lesion inside where there is one."""
    height, width = examples.pixels.shape[1:]
    crops, lesions = np.empty((len(chosen), side, side), np.float32), examples.lesions[chosen].copy()
    for place, index in enumerate(chosen):
        left, top = (_corner(lesions[place, axis], size, side, random) for axis, size in enumerate((width, height)))
        crops[place] = examples.pixels[index, top : top + side, left : left + side]
        lesions[place, :2] -= (left, top)
    return torch.from_numpy(crops)[:, None], torch.from_numpy(lesions)


def _corner(lesion: float, size: int, side: int, random: np.random.Generator) -> int:
    """Where a crop starts along one axis of ``size`` pixels; the lesion stays off its border."""
    last = size - side
    if np.isnan(lesion):
        return int(random.integers(0, last + 1))
    low = min(max(int(lesion) - side + LESION_MARGIN, 0), last)
    high = min(max(int(lesion) - LESION_MARGIN, low), last)
    return int(random.integers(low, high + 1))


def _turned(images: Tensor, lesions: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Every second batch is turned upside down."""
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
