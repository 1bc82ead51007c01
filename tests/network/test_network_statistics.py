"""The statistics of a domain: cumulative and exact, and read without anything being moved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness.toys import ToyNetwork, toy_examples
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dosremc_node.errors import NoBatchNorm
from dosremc_node.network.prediction import Network, Prediction
from dosremc_node.network.statistics import Moments, adapt_statistics, batch_statistics, measured_statistics, own_statistics, put_statistics


@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6), offset=st.floats(-1e4, 1e4), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_batches_of_any_size_give_the_moments_of_everything(sizes: list[int], offset: float, seed: int) -> None:
    """Mean and variance, batch by batch, are numpy's over all values at once, also far from zero: the spread between batches counts."""
    random = np.random.default_rng(seed)
    batches = [(random.normal(index, 1 + index, (size, 3, 4, 2)) + offset).astype(np.float32) for index, size in enumerate(sizes)]
    moments = Moments()
    for batch in batches:
        moments.add(torch.from_numpy(batch))
    everything = np.concatenate(batches).astype(np.float64)
    found = moments.result()
    np.testing.assert_allclose(found.mean, everything.mean(axis=(0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(found.variance, everything.var(axis=(0, 2, 3)), rtol=1e-6)


def test_the_first_layer_s_statistics_are_those_of_all_images_at_once() -> None:
    """In batches of 7 the first batch norm's statistics are those that numpy finds in float64 over all images, within 1e-6."""
    network, examples = ToyNetwork(), toy_examples(1)
    found = measured_statistics(network, examples, seed=5, batch=7)["norm1"]
    with torch.no_grad():
        signal = network.conv1(examples.batch(np.arange(len(examples)))).double().numpy()
    np.testing.assert_allclose(found.mean, signal.mean(axis=(0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(found.variance, signal.var(axis=(0, 2, 3)), rtol=1e-6)


def test_one_batch_of_everything_normalises_every_layer() -> None:
    """Adapted in one batch, the network with fixed statistics says what it says with that batch's own."""
    network, examples = ToyNetwork(), toy_examples(1, contrast=2)
    images = examples.batch(np.arange(len(examples)))
    put_statistics(network, measured_statistics(network, examples, seed=0, batch=len(examples)))
    with torch.no_grad():
        fixed = network.eval()(images).logits
        with batch_statistics(network):
            own = network(images).logits
    torch.testing.assert_close(fixed, own, atol=1e-4, rtol=0)


def test_measuring_moves_nothing() -> None:
    """After measuring, the network's state is the same to the last bit, counters included."""
    network = ToyNetwork()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    measured_statistics(network, toy_examples(2, contrast=3), seed=1)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(module.training for module in network.modules())


def test_measured_statistics_are_put_where_they_belong() -> None:
    """What is measured is what the network has afterwards, in float32."""
    network, examples = ToyNetwork(), toy_examples(2, contrast=3)
    expected = measured_statistics(network, examples, seed=0)
    adapt_statistics(network, examples, seed=0)
    for name, own in own_statistics(network).items():
        assert torch.equal(own.mean, expected[name].mean.float().double())
        assert torch.equal(own.variance, expected[name].variance.float().double())


def test_a_network_without_batch_norm_is_refused() -> None:
    """There is nothing to measure, and the error names the network."""

    class Plain(Network):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(1, 1)

        def forward(self, images: torch.Tensor) -> Prediction:
            return Prediction(self.fc(images.mean(dim=(1, 2, 3))[:, None])[:, 0], None, images)

    with pytest.raises(NoBatchNorm, match="Plain"):
        measured_statistics(Plain(), toy_examples(1), seed=0)
