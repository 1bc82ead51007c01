"""Where the filters come from: training on the source, whose lesions' places are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dosremc_node.network.augmentation import Move
from dosremc_node.network.batches import Chosen, device_of, to_network
from dosremc_node.network.examples import Examples
from dosremc_node.network.losses import lesion_loss
from dosremc_node.network.prediction import Network
from dosremc_node.network.statistics import adapt_statistics
from dosremc_node.network.training import UNWATCHED, Moment, Plan, Watch, fit

PEAK_RATE = 3e-3
WHOLE_IMAGE_RATE = 1.5e-3
CROP = 80
LESION_MARGIN = 8
CROP_EPOCHS_FOR_A_WHOLE = 6


def train_filters(network: Network, examples: Examples, *, epochs: int, seed: int, watch: Watch = UNWATCHED) -> None:
    """Train everything, each phase with one cycle of the learning rate: first on crops, then on whole images.

    Without the lesions' places whole images do not learn: the saliency map is held against a Gaussian at each malignant lesion. Crops
    that hold every lesion teach the filters at a fifth of the cost; whole images then teach what else a breast can show. Each phase
    has a checkpoint of its own. Raises `NoSaliencyMap`.
    """
    whole = max(1, epochs // CROP_EPOCHS_FOR_A_WHOLE)
    phases = ((Plan(epochs, PEAK_RATE), CROP), (Plan(whole, WHOLE_IMAGE_RATE), None))
    for number, (plan, crop) in enumerate(phases):
        _train(network, examples, plan, crop, seed + number, _of_phase(watch, number, len(phases)))
    adapt_statistics(network, examples)


def _train(network: Network, examples: Examples, plan: Plan, crop: int | None, seed: int, watch: Watch) -> None:  # noqa: PLR0917
    """``crop`` is the side of the squares that are trained on, in pixels; None stands for whole images."""

    def loss(chosen: Chosen, moment: Moment) -> Tensor:
        images, lesions = _whole(examples, chosen) if crop is None else _cropped(examples, chosen, crop, moment.random)
        move = Move.at_random(images.shape[2], moment.random) if crop is None else Move(0, bool(moment.random.random() < 0.5))
        there = move.lesions(lesions, images.shape[2]).to(device_of(network))
        return lesion_loss(network, to_network(network, move.images(images)), there)

    fit(network, list(network.parameters()), loss, len(examples), plan, seed=seed, watch=watch)


def _of_phase(watch: Watch, number: int, phases: int) -> Watch:
    """The whole training's watch as one phase has it."""
    checkpoint = watch.checkpoint and watch.checkpoint.with_name(f"{watch.checkpoint.name}.{number}")
    return replace(watch, progress=lambda share: watch.progress((number + share) / phases), checkpoint=checkpoint)


def _whole(examples: Examples, chosen: Chosen) -> tuple[Tensor, Tensor]:
    return examples.batch(chosen), torch.from_numpy(examples.lesions[chosen])


def _cropped(examples: Examples, chosen: Chosen, side: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
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
