"""Banks and filters: what is exchanged, what never moves, and that no score depends on its batch mates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dosremc_node.errors import BankDoesNotFit
from dosremc_node.network import SaliencyNetwork, bank_of, filters_digest, freeze_filters, put_bank
from dosremc_node.network.banks import batch_norms
from dosremc_node.records import Domain

WIDTHS = (4, 6, 8, 8)
DOMAIN = Domain("simulated-b")


@pytest.fixture
def network() -> SaliencyNetwork:
    """A small network with a bank like no other."""
    torch.manual_seed(3)
    made = SaliencyNetwork(WIDTHS)
    with torch.no_grad():
        for _, module in batch_norms(made):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return made.eval()


def test_a_bank_is_batch_norm_and_the_linear_layer(network: SaliencyNetwork) -> None:
    """The bank holds four vectors of each batch norm and the fully connected layer, in float32, and nothing of a convolution."""
    bank = bank_of(network)
    norms = [name for name, _ in batch_norms(network)]
    expected = {f"{name}.{part}" for name in norms for part in ("weight", "bias", "running_mean", "running_var")}
    assert bank.keys() == expected | {"fc.weight", "fc.bias"}
    assert {values.dtype for values in bank.values()} == {np.dtype(np.float32)}
    convolutions = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, torch.nn.Conv2d)}
    assert convolutions
    assert not convolutions & bank.keys()


def test_a_bank_goes_round(network: SaliencyNetwork) -> None:
    """A bank that is taken out, and put into a network with the same filters, makes it the same network."""
    bank = bank_of(network)
    other = SaliencyNetwork(WIDTHS)
    other.load_state_dict(
        {
            **network.state_dict(),
            **{name: torch.zeros_like(tensor) for name, tensor in SaliencyNetwork(WIDTHS).state_dict().items() if name in bank},
        }
    )
    put_bank(other, bank, DOMAIN)
    image = torch.randn(2, 1, 64, 32)
    with torch.no_grad():
        assert torch.equal(other.eval()(image).logits, network(image).logits)


def test_a_bank_is_a_copy(network: SaliencyNetwork) -> None:
    """What happens to the network later does not reach a bank that was taken out before."""
    bank = bank_of(network)
    before = bank["norm.weight"].copy()
    with torch.no_grad():
        network.norm.weight.add_(1)
    assert np.array_equal(bank["norm.weight"], before)


@pytest.mark.parametrize("spoil", ["missing", "surplus", "shape"])
def test_a_bank_that_does_not_fit_changes_nothing(network: SaliencyNetwork, spoil: str) -> None:
    """A bank with another name or shape is refused by name, and the network is as it was."""
    bank = {name: values + 1 for name, values in bank_of(network).items()}
    if spoil == "missing":
        del bank["norm.bias"]
    elif spoil == "surplus":
        bank["norm2.bias"] = bank["norm.bias"]
    else:
        bank["norm.bias"] = bank["norm.bias"][:-1]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(BankDoesNotFit, match=r"simulated-b.*norm2?\.bias"):
        put_bank(network, bank, DOMAIN)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_the_digest_sees_filters_and_nothing_else(network: SaliencyNetwork) -> None:
    """Another bank leaves the filters' digest alone; the last bit of one filter changes it."""
    digest = filters_digest(network)
    put_bank(network, {name: values + 1 for name, values in bank_of(network).items()}, DOMAIN)
    assert filters_digest(network) == digest
    with torch.no_grad():
        network.stem.weight[0, 0, 0, 0] = torch.nextafter(network.stem.weight[0, 0, 0, 0], torch.tensor(9.0))
    assert filters_digest(network) != digest


def test_freezing_leaves_the_bank_to_learn(network: SaliencyNetwork) -> None:
    """After freezing exactly gamma, beta and the fully connected layer learn."""
    learning = freeze_filters(network)
    names = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert names == {name for name in bank_of(network) if "running" not in name}
    assert len(learning) == len(names)
