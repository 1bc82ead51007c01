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
    """`inference.cpu` and `inference.cpu.compiled`: milliseconds for an image, one at a time, on every processor."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    session, network, pixels = the_same_network()
    peers: dict[str, tuple[str, Callable[[], object]]] = {"inference.cpu": ("torch, eager", _forward(network, pixels))}
    try:
        compiled = _forward(torch.compile(network), pixels)
        compiled()
        peers["inference.cpu.compiled"] = ("torch, compiled", compiled)
    except Exception as error:  # noqa: BLE001 - a machine without a compiler, or with one that torch cannot use
        say(f"inference.cpu.compiled: not measured, torch cannot compile here ({type(error).__name__})")
    shown = NetworkInput(pixels, pixels > 0, InputGeometry(1, 0, 0, 0, 1, 0), *pixels.shape)
    for name, (peer, forward) in peers.items():
        for warm_up in (forward, lambda: session.score(shown)):
            _each(warm_up)
        pairs = in_turn(lambda: _each(lambda: session.score(shown)), lambda forward=forward: _each(forward), scope.times(9))
        yield Result(name, median(ours for ours, _ in pairs), "ms", faster(pairs, peer))


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


def _each(function: Callable[[], object]) -> float:
    """Milliseconds for each of many images."""
    return milliseconds(lambda: [function() for _ in range(IMAGES)]) / IMAGES
