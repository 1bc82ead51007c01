"""Banks and filters: what is exchanged, what never moves, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from harness.networks import KINDS, SPEC, another_bank, images, small_network
from safetensors.numpy import load
from torch import nn

from dosremc_node.errors import BankDoesNotFit, BankUnreadable, BatchNormNotInBank, FiltersMoved
from dosremc_node.network import Network, bank_digest, bank_of, export_backbone, filters_digest, filters_frozen, freeze_filters, put_bank
from dosremc_node.network.banks import batch_norms, filters_of
from dosremc_node.records import Domain
from dosremc_node.releases import bank_from_safetensors, bank_to_safetensors, filters_sha256

DOMAIN = Domain("simulated-b")

of_every_kind = pytest.mark.parametrize("network", KINDS, indirect=True)


@pytest.fixture
def network(request: pytest.FixtureRequest) -> Network:
    return small_network(getattr(request, "param", "light"))


# --- Splitting and putting back ---------------------------------------------------------------------------------------


@of_every_kind
def test_a_bank_is_batch_norm_and_the_linear_layers(network: Network) -> None:
    """The bank holds four vectors of each batch norm and all of each linear layer, in float32; bank and filters are all there is."""
    bank = bank_of(network)
    expected = {f"{name}.{part}" for name, _ in batch_norms(network) for part in ("weight", "bias", "running_mean", "running_var")}
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            expected |= {f"{name}.{part}" for part, _ in module.named_parameters()}
    assert bank.keys() == expected
    assert {values.dtype for values in bank.values()} == {np.dtype(np.float32)}
    state = {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}
    assert bank.keys() | filters_of(network).keys() == state
    assert not bank.keys() & filters_of(network).keys()


@of_every_kind
def test_a_bank_goes_round(network: Network) -> None:
    """A bank that is taken out, written, read and put into a network with the same filters makes it the same network, bit by bit."""
    batch = images(2)
    with torch.no_grad():
        before = network(batch)
        content = bank_to_safetensors(bank_of(network))
        put_bank(network, another_bank(network), DOMAIN)
        between = network(batch)
        put_bank(network, bank_from_safetensors(content, DOMAIN), DOMAIN)
        after = network(batch)
    assert not torch.equal(before.logits, between.logits)
    assert torch.equal(before.logits, after.logits)
    assert torch.equal(before.features, after.features)


def test_a_bank_is_a_copy(network: Network) -> None:
    """What happens to the network later does not reach a bank that was taken out before, nor the other way round."""
    bank = bank_of(network)
    before = {name: values.copy() for name, values in bank.items()}
    put_bank(network, bank, DOMAIN)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert all(np.array_equal(bank[name], before[name]) for name in bank)


def test_the_digest_is_that_of_the_file(network: Network) -> None:
    """Whatever the order and memory layout, one digest for the same values, another for one more bit; the file is plain safetensors."""
    bank = bank_of(network)
    turned = {name: np.array(bank[name], order="F") for name in sorted(bank, reverse=True)}
    assert bank_digest(turned) == bank_digest(bank)
    read = load(bank_to_safetensors(turned))
    assert all(np.array_equal(read[name], bank[name]) for name in bank)
    bank["norm.bias"][0] = np.nextafter(bank["norm.bias"][0], np.float32(9))
    assert bank_digest(bank) != bank_digest(turned)


# --- What does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda bank: bank.pop("norm.bias"), r"only the network has norm\.bias"),
        (lambda bank: bank.update({"norm9.bias": bank["norm.bias"]}), r"only the bank has norm9\.bias"),
        (
            lambda bank: bank.update({"norm.bias": bank["norm.bias"][:-1]}),
            r"norm\.bias is float32 \(15,\), the network has float32 \(16,\)",
        ),
        (lambda bank: bank.update({"norm.bias": bank["norm.bias"].astype(np.float16)}), r"norm\.bias is float16 \(16,\)"),
    ],
    ids=["missing", "spare", "shape", "type"],
)
def test_a_bank_that_does_not_fit_changes_nothing(network: Network, spoil: Callable[[dict[str, object]], object], why: str) -> None:
    """A bank with another name, shape or type is refused by name, and the network is as it was."""
    bank: dict[str, object] = dict(another_bank(network))
    spoil(bank)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(BankDoesNotFit, match=rf"simulated-b.*{why}"):
        put_bank(network, bank, DOMAIN)  # type: ignore[arg-type]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\xff" * 64])
def test_a_file_that_is_no_bank_is_named(content: bytes) -> None:
    """Bytes that are no safetensors file are refused with the domain's name."""
    with pytest.raises(BankUnreadable, match="simulated-b"):
        bank_from_safetensors(content, DOMAIN)


@pytest.mark.parametrize(
    ("norm", "missing"),
    [
        (nn.BatchNorm1d(4, affine=False), "weight.*affine=True"),
        (nn.BatchNorm2d(4, bias=False), "bias.*bias=True"),
        (nn.BatchNorm2d(4, track_running_stats=False), "running_mean.*track_running_stats=True"),
        (nn.BatchNorm3d(4, affine=False, track_running_stats=False), "weight"),
    ],
)
def test_a_batch_norm_that_no_bank_can_hold_is_refused(norm: nn.Module, missing: str) -> None:
    """Without gamma and beta, or without statistics of its own: refused by name, with what to build instead, never left out."""
    network = nn.ModuleDict({"odd": norm})
    for look in (bank_of, filters_digest, freeze_filters):
        with pytest.raises(BatchNormNotInBank, match=rf"batch norm odd has no {missing}"):
            look(network)


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm])
def test_batch_norm_of_any_dimension_is_in_the_bank(kind: type[nn.Module]) -> None:
    """One, two, three dimensions, or one that is shared between processes; other normalisations are filters."""
    network = nn.Sequential(kind(4), nn.GroupNorm(2, 4), nn.LayerNorm(4))
    assert bank_of(network).keys() == {"0.weight", "0.bias", "0.running_mean", "0.running_var"}


# --- Filters ----------------------------------------------------------------------------------------------------------


@of_every_kind
def test_the_digest_sees_filters_and_nothing_else(network: Network) -> None:
    """Another bank leaves the filters' digest alone; the last bit of any one filter changes it."""
    digest = filters_digest(network)
    put_bank(network, another_bank(network), DOMAIN)
    network.train()(images(2))
    put_bank(network, another_bank(network), DOMAIN)
    assert filters_digest(network) == digest
    for tensor in filters_of(network).values():
        with torch.no_grad():
            kept, flat = tensor.clone(), tensor.view(-1)
            flat[-1] = torch.nextafter(flat[-1], torch.tensor(9.0))
            assert filters_digest(network) != digest
            tensor.copy_(kept)
    assert filters_digest(network) == digest


def test_the_network_and_its_graph_agree_on_what_filters_are(network: Network) -> None:
    """Two networks with the same filters give releases with the same filters, whatever the bank."""
    names = bank_of(network).keys()
    first = filters_sha256(export_backbone(network, SPEC), names)
    put_bank(network, another_bank(network), DOMAIN)
    assert filters_sha256(export_backbone(network, SPEC), names) == first


@of_every_kind
def test_only_the_bank_learns_inside(network: Network) -> None:
    """Inside, exactly the bank's parameters learn, and a step moves them and no filter; afterwards all learn that did before."""
    next(iter(network.parameters())).requires_grad_(requires_grad=False)
    before = {name: each.requires_grad for name, each in network.named_parameters()}
    digest, bank = filters_digest(network), bank_of(network)
    with filters_frozen(network) as learning:
        names = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        assert names == {name for name in bank if "running" not in name}
        assert len(learning) == len(names)
        _learn(network, learning)
    assert {name: each.requires_grad for name, each in network.named_parameters()} == before
    assert filters_digest(network) == digest
    assert bank_digest(bank_of(network)) != bank_digest(bank)


def test_moved_filters_void_what_was_done(network: Network) -> None:
    """One bit of one filter that moved inside is an error, whoever moved it; and what learnt before learns again."""
    with pytest.raises(FiltersMoved), filters_frozen(network), torch.no_grad():
        network.stem.weight[0, 0, 0, 0] += 1e-3
    assert all(each.requires_grad for each in network.parameters())


def test_what_goes_wrong_inside_is_what_is_heard(network: Network) -> None:
    """An error inside is not hidden behind another one, and what learnt before learns again."""
    with pytest.raises(ZeroDivisionError), filters_frozen(network):
        _ = 1 / 0
    assert all(each.requires_grad for each in network.parameters())


def _learn(network: Network, learning: list[nn.Parameter]) -> None:
    optimiser = torch.optim.SGD(learning, lr=0.1)
    prediction = network.train()(images(4))
    torch.autograd.backward(prediction.logits.sum() + sum(part.sum() for part in prediction.parts.values()))
    optimiser.step()
    network.eval()
