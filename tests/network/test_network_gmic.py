"""GMIC: its counts to the parameter, and what its branches do."""

from __future__ import annotations

import pytest
import torch
from harness.networks import images, small_network
from torch import nn

from dosremc_node.network import GMIC
from dosremc_node.network.banks import bank_of, batch_norms
from dosremc_node.network.crops import best_windows, crops_at, window_of


@pytest.fixture(scope="module")
def paper_sized() -> GMIC:
    return GMIC()


def parameters(network: nn.Module, kind: type[nn.Module]) -> int:
    return sum(each.numel() for module in network.modules() if isinstance(module, kind) for each in module.parameters(recurse=False))


def test_the_counts_are_the_papers(paper_sized: GMIC) -> None:
    """14.11 M parameters, batch norm 13,600, linear 133,762, together 1.04 %; as many statistics as batch norm has parameters."""
    total = sum(each.numel() for each in paper_sized.parameters())
    norm, linear = parameters(paper_sized, nn.BatchNorm2d), parameters(paper_sized, nn.Linear)
    assert (total, norm, linear) == (14_110_322, 13_600, 133_762)
    assert parameters(paper_sized, nn.Conv2d) == total - norm - linear == 13_962_960
    assert norm + linear == 147_362
    assert round(100 * (norm + linear) / total, 2) == 1.04
    statistics = sum(values.size for name, values in bank_of(paper_sized).items() if "running" in name)
    assert statistics == 13_600
    assert len(list(batch_norms(paper_sized))) == 41


def test_linear_layers_are_those_of_the_description(paper_sized: GMIC) -> None:
    """Attention 2 x 512 x 128 + 128 and the local classifier 512 x 2, both without bias, and the fusion 768 x 2 + 2."""
    shapes = {name: (tuple(m.weight.shape), m.bias is not None) for name, m in paper_sized.named_modules() if isinstance(m, nn.Linear)}
    assert shapes == {
        "attention.value": ((128, 512), False),
        "attention.gate": ((128, 512), False),
        "attention.weight": ((1, 128), False),
        "local": ((2, 512), False),
        "fusion": ((2, 768), True),
    }


def test_paper_sized_prediction(paper_sized: GMIC) -> None:
    """An image of 2944 x 1920 gives a map of 46 x 30, 768 features before the fusion, and a logit of each branch."""
    with torch.no_grad():
        prediction = paper_sized.eval()(torch.randn(1, 1, 2944, 1920, generator=torch.Generator().manual_seed(1)))
    assert prediction.saliency is not None
    assert prediction.saliency.shape == (1, 1, 46, 30)
    assert prediction.features.shape == (1, 768)
    assert prediction.logits.shape == prediction.parts["global"].shape == prediction.parts["local"].shape == (1,)


def test_the_fusion_judges_the_features() -> None:
    """The logit is what the fusion says, of malignancy, of the features."""
    network = small_network("gmic")
    with torch.no_grad():
        prediction = network(images(2))
        torch.testing.assert_close(prediction.logits, network.fusion(prediction.features)[:, 1])


def test_a_score_never_depends_on_its_batch_mates() -> None:
    """Promise 6, and each image has crops of its own."""
    network, batch = small_network("gmic"), images(4)
    with torch.no_grad():
        together, alone = network(batch), [network(batch[index : index + 1]) for index in range(4)]
    for name in ("logits", "saliency", "features"):
        torch.testing.assert_close(getattr(together, name), torch.cat([getattr(each, name) for each in alone]))


def test_only_the_crops_are_looked_at_closer() -> None:
    """What changes outside the crops leaves their vectors as they were to the last bit; what changes inside does not."""
    network, batch = small_network("gmic"), images(1)
    crop, count = network.configuration.crop, network.configuration.crops
    with torch.no_grad():
        cells = network.overview.cells(network.overview.features(batch))
        places = best_windows(torch.sigmoid(cells), window_of(crop, batch, cells), count)
        numbers = torch.arange(batch.numel(), dtype=torch.float32).reshape(batch.shape)
        inside = torch.isin(numbers, crops_at(numbers, cells, places, crop))
        before = network.look_closer(batch, cells)
        assert 0 < inside.sum() < inside.numel()
        assert torch.equal(network.look_closer(torch.where(inside, batch, 9.0), cells), before)
        assert not torch.equal(network.look_closer(torch.where(inside, batch + 1, batch), cells), before)


def test_every_part_learns_and_no_gradient_goes_through_the_choice() -> None:
    """The three losses reach every parameter; that of the local branch reaches nothing of the global one."""
    network = small_network("gmic").train()
    prediction = network(images(3))
    torch.autograd.backward(prediction.parts["local"].sum(), retain_graph=True)
    assert all(each.grad is None for each in network.overview.parameters())
    torch.autograd.backward((prediction.logits + prediction.parts["global"]).sum())
    assert all(each.grad is not None for each in network.parameters())
