"""What adaptation costs: a BNFC step, a full step and a pass for statistics alone, side by side; a bank's size; a bank from 1000 exams."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from bench.measuring import Result, Scope, faster, in_turn
from dosremc_node.network import Plan, adapt_statistics, bank_of, filters_frozen, train_bank
from dosremc_node.network.batches import Chosen
from dosremc_node.network.examples import Examples
from dosremc_node.network.gmic import GMIC
from dosremc_node.network.methods.fine_tuning import labelled_loss
from dosremc_node.network.prediction import Network
from dosremc_node.network.resnet22 import SaliencyResNet
from dosremc_node.network.training import Moment, fit
from dosremc_node.releases import bank_to_safetensors

EXAMS, IMAGES_OF_AN_EXAM = 1000, 4
STEPS = 2


@dataclass(frozen=True)
class Subject:
    """A network, and the batches that it learns from."""

    name: str
    network: Callable[[], Network]
    batch: int
    height: int
    width: int

    def images(self, count: int) -> Examples:
        """Noise: what an image shows changes no cost."""
        pixels = np.random.default_rng(1).normal(size=(count, self.height, self.width)).astype(np.float16)
        return Examples(pixels, np.arange(count) % 2 == 0, np.full((count, 3), np.nan, np.float32))


LIGHT = Subject("light", SaliencyResNet, batch=32, height=256, width=128)
# A quarter of its images' height and width, so that a step fits a small machine; the ratios are what counts.
GMIC_SMALL = Subject("gmic", GMIC, batch=2, height=736, width=480)


def run(scope: Scope) -> Iterator[Result]:
    """`cost.bnfc.*`: a step against a full one, in ms, and peak memory of each; `cost.bank.*`: size; `cost.exams`: seconds to a bank."""
    for subject in (LIGHT, GMIC_SMALL):
        yield _steps(subject, scope)
        yield _size(subject)
    yield _exams(scope)


def full(network: Network, images: Examples, steps: int) -> None:
    """Steps in which everything learns."""
    _fit(network, list(network.parameters()), images, steps)


def bnfc(network: Network, images: Examples, steps: int) -> None:
    """Steps in which the bank learns."""
    with filters_frozen(network) as learning:
        _fit(network, learning, images, steps)


def statistics(network: Network, images: Examples, steps: int) -> None:
    """Passes for statistics."""
    for _ in range(steps):
        adapt_statistics(network, images)


KINDS = {"full": full, "bnfc": bnfc, "statistics": statistics}


def _steps(subject: Subject, scope: Scope) -> Result:
    """All three in turn within one run, after one of each to warm up; memory in a process for each, less what was there before."""
    network, images = subject.network(), subject.images(subject.batch)

    def each(kind: str) -> float:
        started = time.perf_counter()
        KINDS[kind](network, images, STEPS)
        return (time.perf_counter() - started) * 1000 / STEPS

    for kind in KINDS:
        each(kind)
    alone: list[float] = []

    def after_statistics() -> float:
        alone.append(each("statistics"))
        return each("bnfc")

    pairs = in_turn(after_statistics, lambda: each("full"), scope.times(3))
    further = {"full_ms": median(full for _, full in pairs), "statistics_ms": median(alone)}
    further |= {f"{kind}_megabytes": _peak_megabytes(subject, kind) for kind in KINDS}
    return Result(f"cost.bnfc.{subject.name}", median(ours for ours, _ in pairs), "ms a step", faster(pairs, "a full step"), further)


def _peak_megabytes(subject: Subject, kind: str) -> float:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak_of, subject, kind, torch.get_num_threads()).result()


def _peak_of(subject: Subject, kind: str, threads: int) -> float:
    """By how much two steps raise the largest resident size of this process."""
    torch.set_num_threads(threads)
    network, images = subject.network(), subject.images(subject.batch)
    with torch.no_grad():
        network.eval()(images.batch([0]))  # what torch keeps for itself, whatever it computes
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is resident now
    before = _status("VmRSS")
    KINDS[kind](network, images, 2)
    return _status("VmHWM") - before


def _status(entry: str) -> float:
    """Megabytes, as Linux counts them for this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry)) * 1024 / 1e6


def _size(subject: Subject) -> Result:
    """The bank's file against the whole network's numbers."""
    network = subject.network()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    with filters_frozen(network) as learning:
        learnt = sum(parameter.numel() for parameter in learning)
    further = {
        "network_kilobytes": parameters * 4 / 1000,
        "parameters": float(parameters),
        "learnt_in_a_bank": float(learnt),
        "percent": 100 * learnt / parameters,
    }
    return Result(f"cost.bank.{subject.name}", len(bank_to_safetensors(bank_of(network))) / 1000, "kB", further=further)


def _exams(scope: Scope) -> Result:
    """Seconds to a bank of the light network from 1000 exams of four images: their statistics, then one epoch of BNFC upon them."""
    exams = 20 if scope.quick else EXAMS
    network, images = LIGHT.network(), LIGHT.images(exams * IMAGES_OF_AN_EXAM)
    started = time.perf_counter()
    adapt_statistics(network, images)
    measured = time.perf_counter() - started
    train_bank(network, images, images.malignant, Plan(epochs=1), seed=1)
    return Result("cost.exams", time.perf_counter() - started - measured, "s", further={"exams": float(exams), "statistics_s": measured})


def _fit(network: Network, learning: list[nn.Parameter], images: Examples, steps: int) -> None:
    def loss(chosen: Chosen, moment: Moment) -> Tensor:
        return labelled_loss(network, images.batch(chosen), images.malignant[chosen], moment)

    fit(network, learning, loss, len(images), replace(Plan(steps), batch=len(images)), seed=1)
