"""Banks and filters: what is exchanged, what never moves, and that no score depends on its batch mates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dosremc_node.errors import BankDoesNotFit, FiltersMoved
from dosremc_node.network import SaliencyNetwork, adapt_statistics, bank_of, filters_digest, freeze_filters, put_bank, train_bank, training
from dosremc_node.network.banks import batch_norms
from dosremc_node.network.examples import Examples
from dosremc_node.network.training import lesion_map, logits, loss
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


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Forty images of noise, each second one with a bright spot that is its lesion."""
    random = np.random.default_rng(1)
    pixels = random.normal(size=(40, 64, 32)).astype(np.float32)
    lesions = np.full((40, 3), np.nan, np.float32)
    for index in range(0, 40, 2):
        column, row = random.integers(8, 24), random.integers(8, 56)
        pixels[index, row - 3 : row + 3, column - 3 : column + 3] += 5
        lesions[index] = (column, row, 4)
    return Examples(pixels.astype(np.float16), ~np.isnan(lesions[:, 0]), lesions)


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


def test_training_a_bank_never_moves_a_filter(network: SaliencyNetwork, examples: Examples) -> None:
    """Promise 7: after a bank's training every filter is the same to the last bit, every vector of the bank has moved, the loss has
    fallen.
    """
    filters = {
        name: tensor.clone() for name, tensor in network.state_dict().items() if "conv" in name or "stem" in name or "shortcut" in name
    }
    bank, digest = bank_of(network), filters_digest(network)
    adapt_statistics(network, examples)
    images, lesions = examples.batch(np.arange(40)), torch.from_numpy(examples.lesions)
    before = loss(network, images, lesions).item()
    train_bank(network, examples, epochs=8, seed=1)
    assert filters_digest(network) == digest
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in filters.items())
    assert all(not np.array_equal(bank[name], values) for name, values in bank_of(network).items())
    assert loss(network, images, lesions).item() < before


def test_moved_filters_void_the_training(network: SaliencyNetwork, examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where something moves a filter during a bank's training, the result is refused."""
    monkeypatch.setattr(training, "freeze_filters", lambda module: list(module.parameters()))
    with pytest.raises(FiltersMoved):
        train_bank(network, examples, epochs=1, seed=1)


def test_statistics_are_those_of_the_examples(network: SaliencyNetwork, examples: Examples) -> None:
    """The first batch norm's mean and variance are those that numpy finds in float64 over all images at once."""
    adapt_statistics(network, examples)
    with torch.no_grad():
        signal = network.stem(examples.batch(np.arange(len(examples)))).double().numpy()
    norm = network.stages[0].norm1
    assert isinstance(norm.running_mean, torch.Tensor)
    assert isinstance(norm.running_var, torch.Tensor)
    np.testing.assert_allclose(norm.running_mean.numpy(), signal.mean(axis=(0, 2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm.running_var.numpy(), signal.var(axis=(0, 2, 3)), rtol=1e-5)


def test_a_score_never_depends_on_its_batch_mates(network: SaliencyNetwork, examples: Examples) -> None:
    """Promise 6: an image alone has the logit that it has among others."""
    together = logits(network, examples)
    for index in (0, 7, 39):
        with torch.no_grad():
            alone = network(examples.batch([index])).logits.item()
        assert alone == pytest.approx(together[index], abs=1e-5)


def test_the_target_peaks_at_the_lesion() -> None:
    """The map is 1 at the cell that holds the lesion's centre, falls off around it, and is 0 where there is no lesion."""
    target = lesion_map(torch.tensor([[20.0, 44.0, 5.0], [float("nan")] * 3]), 8, 4, stride=8)
    assert target.shape == (2, 8, 4)
    assert np.unravel_index(int(target[0].argmax()), (8, 4)) == (5, 2)
    assert target[0, 5, 2] == 1.0
    assert target[0, 0, 0] < 1e-3
    assert target[1].abs().max() == 0
