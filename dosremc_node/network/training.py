"""How anything here is trained: epochs of batches, the best epoch kept, and a checkpoint from which the same bits follow."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dosremc_node.errors import LossNotFinite
from dosremc_node.network.banks import batch_norms
from dosremc_node.network.batches import BATCH, Chosen, channels_last, device_of, shuffled
from dosremc_node.network.resuming import Checkpoint, fingerprint, read_checkpoint, write_checkpoint

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast something learns.

    ``rate`` is the highest learning rate: one cycle rises to it and falls (Smith and Topin, arXiv 1708.07120), else it is constant.
    ``decoupled``: weight decay as in AdamW, else as in Adam, added to the gradient. It acts on all that learns, gamma and beta too.
    """

    epochs: int
    rate: float = 1e-3
    batch: int = BATCH
    weight_decay: float = 1e-4
    one_cycle: bool = True
    decoupled: bool = True


PAPER = Plan(epochs=50, rate=6.4e-6, batch=8, weight_decay=1e-3, one_cycle=False, decoupled=False)
"""As DoSReMC trains (arXiv 2508.15452); it keeps the epoch with the best PR-AUC on validation images, see `Watch.validate`."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What goes on beside the training.

    ``progress`` hears the share that is done. ``validate`` is asked after each epoch and gives a figure of the network, higher is better:
    the best epoch is kept, and training ends after ``patience`` epochs that were no better. ``checkpoint``: written after each epoch;
    a training that finds it there goes on from it, and gives the bits that it would have given without the interruption.
    """

    progress: Progress = lambda _: None
    validate: Callable[[nn.Module], float] | None = None
    patience: int | None = None
    checkpoint: Path | None = None


UNWATCHED = Watch()


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a step stands: the epoch's random numbers, and the share of the training that is done, from 0 to 1."""

    random: np.random.Generator
    share: float


StepLoss = Callable[[Chosen, Moment], Tensor]
"""The loss of the images with these indices."""


def fit(
    network: nn.Module,
    learning: Sequence[nn.Parameter],
    loss: StepLoss,
    count: int,
    plan: Plan,
    *,
    seed: int,
    watch: Watch = UNWATCHED,
    statistics_move: bool = True,
    companions: Sequence[nn.Module] = (),
) -> None:
    """Let ``learning`` learn from ``count`` images, in place. Batch norm uses the batch's statistics and moves its own, or, unless
    ``statistics_move``, uses its own and leaves them. ``companions`` are modules that learn beside the network, such as an adversary.

    Mixed precision (bfloat16) on a GPU. Raises `LossNotFinite`, and `CheckpointOfAnother` where the checkpoint is another training's.
    """
    trained = nn.ModuleList([network, *companions])
    channels_last(trained)
    run = _Run(trained, learning, loss, count, plan, seed)
    whose = fingerprint(plan, seed, count, trained)
    found = read_checkpoint(watch.checkpoint, whose)
    best = run.restore(found) if found else _Best()
    for epoch in range(found.epochs if found else 0, plan.epochs):
        if watch.validate and watch.patience is not None and epoch - best.epochs >= watch.patience:
            break
        _set_mode(trained, statistics_move=statistics_move)
        run.epoch(epoch, watch.progress)
        if watch.validate:
            best = best.or_better(watch.validate(network.eval()), epoch + 1, trained)
        if watch.checkpoint:
            write_checkpoint(watch.checkpoint, run.checkpoint(epoch + 1, best, whose))
    if best.state is not None:
        trained.load_state_dict(best.state)
    trained.eval()


def mixed_precision(network: nn.Module) -> AbstractContextManager[object]:
    """Bfloat16 where it is safe and fast: on a GPU alone."""
    device = device_of(network).type
    return torch.autocast(device, torch.bfloat16) if device == "cuda" else nullcontext()


@dataclass(frozen=True, slots=True)
class _Best:
    """The best epoch so far; without validation there is none."""

    figure: float = float("-inf")
    epochs: int = 0
    state: dict[str, Any] | None = None

    def or_better(self, figure: float, epochs: int, trained: nn.Module) -> _Best:
        return _Best(figure, epochs, copy.deepcopy(trained.state_dict())) if figure > self.figure else self


class _Run:
    """One training: what learns, its optimiser, and its learning rate."""

    def __init__(  # noqa: PLR0917
        self, trained: nn.Module, learning: Sequence[nn.Parameter], loss: StepLoss, count: int, plan: Plan, seed: int
    ) -> None:
        self.trained, self.loss, self.count, self.plan, self.seed = trained, loss, count, plan, seed
        self.optimiser = torch.optim.Adam(learning, lr=plan.rate, weight_decay=plan.weight_decay, decoupled_weight_decay=plan.decoupled)
        self.steps = plan.epochs * -(-count // plan.batch)
        self.schedule: torch.optim.lr_scheduler.LRScheduler = (
            torch.optim.lr_scheduler.OneCycleLR(self.optimiser, max_lr=plan.rate, total_steps=self.steps)
            if plan.one_cycle
            else torch.optim.lr_scheduler.ConstantLR(self.optimiser, factor=1.0)
        )

    def epoch(self, number: int, progress: Progress) -> None:
        """Each epoch has random numbers of its own, so that one can go on where another process ended."""
        random = np.random.default_rng([self.seed, number])
        batches = shuffled(self.count, self.plan.batch, random)
        with torch.random.fork_rng():
            torch.manual_seed(int(random.integers(2**31)))
            for place, chosen in enumerate(batches, start=number * len(batches)):
                self.step(chosen, Moment(random, place / self.steps))
                progress((place + 1) / self.steps)

    def step(self, chosen: Chosen, moment: Moment) -> None:
        self.optimiser.zero_grad()
        with mixed_precision(self.trained):
            loss = self.loss(chosen, moment)
        if not loss.isfinite():
            raise LossNotFinite(loss=loss.item(), share=moment.share, rate=self.plan.rate)
        torch.autograd.backward(loss)
        self.optimiser.step()
        self.schedule.step()

    def checkpoint(self, epochs: int, best: _Best, whose: str) -> Checkpoint:
        return Checkpoint(
            whose, epochs, self.trained.state_dict(), self.optimiser.state_dict(), self.schedule.state_dict(),
            best.figure, best.epochs, best.state,
        )  # fmt: skip

    def restore(self, found: Checkpoint) -> _Best:
        self.trained.load_state_dict(found.state)
        self.optimiser.load_state_dict(found.optimiser)
        self.schedule.load_state_dict(found.schedule)
        return _Best(found.best_figure, found.best_epochs, found.best_state)


def _set_mode(trained: nn.Module, *, statistics_move: bool) -> None:
    trained.train()
    if not statistics_move:
        for _, module in batch_norms(trained):
            module.eval()
