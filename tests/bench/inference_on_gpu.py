"""The session on a GPU, against torch in half precision and channels-last. Not measured where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import numpy as np
import torch

from bench.inference import the_same_network
from bench.measuring import Result, Scope, faster, in_turn, milliseconds, say
from dosremc_node.inference import build_session, choose_providers
from dosremc_node.records import InputGeometry, NetworkInput
from dosremc_node.releases import default_shelf
from dosremc_node.settings import SHIPPED_RELEASE, Provider, ReleaseSettings

BATCH, ROUNDS = 4, 50


def run(scope: Scope) -> Iterator[Result]:
    """`inference.gpu`: milliseconds for four images. Ours go one by one and unrounded, torch's in one batch and rounded to half precision."""
    if choose_providers(())[0] is not Provider.CUDA or not torch.cuda.is_available():
        say("inference.gpu: not measured, there is no GPU that both ONNX Runtime and torch can use")
        return
    _, network, pixels = the_same_network()
    release = default_shelf(ReleaseSettings()).load(SHIPPED_RELEASE)
    domain = min(release.release.banks)
    session = build_session(release.backbone(), domain, release.bank(domain), providers=choose_providers(()))
    shown = NetworkInput(pixels, pixels > 0, InputGeometry(1, 0, 0, 0, 1, 0), *pixels.shape)
    network = network.cuda().half().to(memory_format=torch.channels_last)
    batch = torch.from_numpy(np.repeat(pixels[None, None], BATCH, axis=0)).half()

    def ours() -> float:
        return milliseconds(lambda: [session.score(shown) for _ in range(BATCH * ROUNDS)]) / ROUNDS

    def theirs() -> float:
        return milliseconds(lambda: [_forward(network, batch) for _ in range(ROUNDS)]) / ROUNDS

    ours()
    theirs()
    pairs = in_turn(ours, theirs, scope.times(9))
    figure = median(own for own, _ in pairs)
    further = {"images_per_second": BATCH * 1000 / figure}
    yield Result("inference.gpu", figure, "ms at batch 4", faster(pairs, "torch, half precision, channels-last"), further)


def _forward(network: torch.nn.Module, batch: torch.Tensor) -> list[torch.Tensor]:
    """From the processor's memory and back to it, as a score needs."""
    with torch.inference_mode():
        return [each.cpu() for each in network(batch.cuda().to(memory_format=torch.channels_last))]
