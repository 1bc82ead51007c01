"""The folded session on the processor, against the same network in torch, eager and compiled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.measuring import Result, Scope, faster, in_turn, milliseconds, say
from dosremc_node.inference import Session, build_session
from dosremc_node.network import import_backbone, put_bank
from dosremc_node.records import InputGeometry, NetworkInput
from dosremc_node.releases import default_shelf
from dosremc_node.settings import SHIPPED_RELEASE, ReleaseSettings

IMAGES = 50


def run(scope: Scope) -> Iterator[Result]:
    """`inference.cpu` and `inference.cpu.compiled`: milliseconds for an image, one at a time.

    The session has a thread for every processor, torch as many as serve it best: on a busy machine its threads wait for each other.
    """
    session, network, pixels = the_same_network()
    shown = NetworkInput(pixels, pixels > 0, InputGeometry(1, 0, 0, 0, 1, 0), *pixels.shape)

    def against(name: str, peer: str, forward: Callable[[], object]) -> Result:
        for warm_up in (forward, lambda: session.score(shown)):
            _each(warm_up)
        pairs = in_turn(lambda: _each(lambda: session.score(shown)), lambda: _each(forward), scope.times(9))
        return Result(name, median(ours for ours, _ in pairs), "ms", faster(pairs, peer))

    # Before anything is compiled: that brings a second OpenMP into the process, whose waiting threads slow the first one's down.
    eager = _forward(network, pixels)
    _take_best_number_of_threads(eager)
    yield against("inference.cpu", "torch, eager", eager)
    try:
        compiled = _forward(torch.compile(network), pixels)
        compiled()
    except Exception as error:  # noqa: BLE001 - a machine without a compiler, or with one that torch cannot use
        say(f"inference.cpu.compiled: not measured, torch cannot compile here ({type(error).__name__})")
        return
    yield against("inference.cpu.compiled", "torch, compiled", compiled)


def the_same_network() -> tuple[Session, nn.Module, NDArray[np.float32]]:
    """The shipped network with one of its banks as a session and in torch, which agree, and an image for both."""
    release = default_shelf(ReleaseSettings()).load(SHIPPED_RELEASE)
    domain = min(release.release.banks)
    session = build_session(release.backbone(), domain, release.bank(domain))
    network = import_backbone(release.backbone())
    put_bank(network, release.bank(domain), domain)
    spec = release.release.preprocessing
    pixels = np.random.default_rng(1).normal(size=(spec.height, spec.width)).astype(np.float32)
    return session, network, pixels


def _forward(network: nn.Module, pixels: NDArray[np.float32]) -> Callable[[], object]:
    images = torch.from_numpy(pixels)[None, None]

    def forward() -> object:
        with torch.inference_mode():
            return network(images)

    return forward


def _take_best_number_of_threads(forward: Callable[[], object]) -> None:
    took = {}
    for threads in {1, len(os.sched_getaffinity(0))}:
        torch.set_num_threads(threads)
        _each(forward)
        took[threads] = _each(forward)
    torch.set_num_threads(min(took, key=lambda threads: took[threads]))


def _each(function: Callable[[], object]) -> float:
    """Milliseconds for an image: the median of many."""
    return median(milliseconds(function) for _ in range(IMAGES))
