"""The batch norm moments of live images are those that torch sees, whatever the folding does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from harness.networks import SPEC, network_input, small_network
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from dosremc_node.errors import BankDoesNotFit
from dosremc_node.inference import InferenceEngine, is_sampled
from dosremc_node.inference.moments import measure_moments
from dosremc_node.network import bank_of, export_backbone, import_backbone, put_bank
from dosremc_node.records import BankId, BatchNormMoments, Domain, InputGeometry, NetworkInput, from_json, to_json
from dosremc_node.releases import LoadedRelease, default_shelf
from dosremc_node.settings import ReleaseSettings

if TYPE_CHECKING:
    from conftest import SmallRelease

Values = NDArray[np.float64]


@pytest.fixture(scope="module")
def demonstration() -> LoadedRelease:
    return default_shelf(ReleaseSettings()).load("demonstration")


def an_input(release: LoadedRelease, seed: int) -> NetworkInput:
    shape = (release.release.preprocessing.height, release.release.preprocessing.width)
    pixels = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return NetworkInput(pixels, np.ones(shape, np.bool_), InputGeometry(1, 0, 0, 0, 1, 0), *shape)


def seen_by_torch(network: nn.Module, pixels: NDArray[np.float32]) -> dict[str, tuple[int, Values, Values]]:
    """Count, mean and variance before each batch norm of a network in torch."""
    seen: dict[str, tuple[int, Values, Values]] = {}

    def hear(name: str) -> None:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            channels = inputs[0].transpose(0, 1).flatten(1).double()
            seen[name] = (channels.shape[1], channels.mean(1).numpy(), channels.var(1, correction=0).numpy())

        network.get_submodule(name).register_forward_pre_hook(hook)

    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            hear(name)
    with torch.inference_mode():
        network(torch.from_numpy(pixels)[None, None])
    return seen


def assert_same(moments: BatchNormMoments, expected: dict[str, tuple[int, Values, Values]]) -> None:
    assert moments.layers.keys() == expected.keys()
    for layer, (count, mean, variance) in expected.items():
        assert moments.layers[layer].count == count
        np.testing.assert_allclose(moments.layers[layer].mean, mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(moments.layers[layer].variance, variance, rtol=1e-3, atol=1e-5)


def test_every_crop_counts() -> None:
    """A network that looks at several crops of an image is measured on all of them."""
    network = small_network("gmic")
    image = network_input(1)
    measured = measure_moments(export_backbone(network, SPEC), Domain("a"), bank_of(network), image, threads=1)
    assert_same(measured, seen_by_torch(network, image.pixels))


def test_every_layer_has_the_moments_that_torch_sees(demonstration: LoadedRelease) -> None:
    """Under every bank: the same layers, the same counts, means and variances, and another bank gives others."""
    image, engine = an_input(demonstration, 1), InferenceEngine(1)
    measured = {domain: engine.moments(demonstration, bank, image) for domain, bank in demonstration.release.banks.items()}
    for domain, moments in measured.items():
        network = import_backbone(demonstration.backbone())
        put_bank(network, demonstration.bank(domain), domain)
        assert_same(moments, seen_by_torch(network, image.pixels))
    assert len({to_json(moments) for moments in measured.values()}) == len(measured)


def test_measuring_changes_no_score(demonstration: LoadedRelease) -> None:
    """The pass beside the folded session leaves that session's bits as they were, and measures the same bits again."""
    image, engine = an_input(demonstration, 2), InferenceEngine(1)
    bank = next(iter(demonstration.release.banks.values()))
    before = engine.score(demonstration, bank, image)
    first, second = (engine.moments(demonstration, bank, image) for _ in range(2))
    assert first == second
    assert engine.score(demonstration, bank, image).logit == before.logit


def test_moments_survive_as_json(demonstration: LoadedRelease) -> None:
    """They come back from the ledger's text bit by bit."""
    bank = next(iter(demonstration.release.banks.values()))
    moments = InferenceEngine(1).moments(demonstration, bank, an_input(demonstration, 3))
    assert from_json(BatchNormMoments, to_json(moments)) == moments


def test_a_bank_of_another_release_is_not_measured(small_release: SmallRelease, inputs: list[NetworkInput]) -> None:
    """The pinned bank decides, as it does for scores."""
    with pytest.raises(BankDoesNotFit, match="ge@ffff"):
        InferenceEngine(1).moments(small_release, BankId(Domain("ge"), "f" * 64), inputs[0])


@given(st.binary(min_size=32, max_size=32).map(bytes.hex), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_the_sample(sha256: str, one: float, other: float) -> None:
    """Nothing is in a sample of none, all in a sample of all, and what a small sample has a larger one has."""
    small, large = sorted((one, other))
    assert not is_sampled(sha256, 0.0)
    assert is_sampled(sha256, 1.0)
    assert is_sampled(sha256, large) or not is_sampled(sha256, small)


def test_the_share_is_the_share() -> None:
    """Of many digests, about as many are sampled as the share says."""
    digests = [np.random.default_rng(seed).bytes(32).hex() for seed in range(4000)]
    assert sum(is_sampled(digest, 0.25) for digest in digests) == pytest.approx(1000, abs=120)
