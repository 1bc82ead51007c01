"""The saliency ResNet-22: the paper's and the light one are two configurations of one network."""

from __future__ import annotations

import pytest
import torch
from harness.networks import images, small_network
from torch import nn

from dosremc_node.network import GMIC_RESNET22, LIGHT_RESNET22, SaliencyResNet
from dosremc_node.network.banks import bank_of, filters_of


@pytest.mark.parametrize("configuration", [LIGHT_RESNET22, GMIC_RESNET22])
def test_both_have_22_layers(configuration: object) -> None:
    """Counted as they are called: 21 convolutions, without the ways around, and the layer that judges the cells."""
    network = SaliencyResNet(configuration)
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in name]
    assert len(layers) == network.configuration.layers == 22


def test_the_paper_sized_map() -> None:
    """2944 x 1920 pixels give 735 x 479 after the stem and 46 x 30 cells, and 2 % of them, 28, make the score."""
    network, stem = SaliencyResNet(GMIC_RESNET22).eval(), []
    network.stages.register_forward_pre_hook(lambda _, inputs: stem.append(tuple(inputs[0].shape)))
    with torch.no_grad():
        prediction = network(torch.zeros(1, 1, 2944, 1920))
    assert stem == [(1, 16, 735, 479)]
    assert prediction.saliency is not None
    assert prediction.saliency.shape == (1, 1, 46, 30)
    assert network._count(prediction.saliency) == 28


def test_the_light_map_has_a_cell_for_every_8_pixels() -> None:
    """256 x 128 pixels give 32 x 16 cells, of which six make the score."""
    network = SaliencyResNet().eval()
    with torch.no_grad():
        prediction = network(torch.zeros(1, 1, 256, 128))
    assert prediction.saliency is not None
    assert prediction.saliency.shape == (1, 1, 32, 16)
    assert network._count(prediction.saliency) == 6


def test_the_light_score_is_the_mean_of_the_highest_cells() -> None:
    """Its logit is the mean of the highest logits, and what the fully connected layer says of the features."""
    network = small_network("light")
    with torch.no_grad():
        prediction = network(images(3))
        assert prediction.saliency is not None
        highest = prediction.saliency.flatten(1).sort(dim=1, descending=True).values[:, : network._count(prediction.saliency)]
        torch.testing.assert_close(prediction.logits, highest.mean(dim=1))
        torch.testing.assert_close(prediction.logits, network.fc(prediction.features)[:, 0])


def test_the_papers_score_is_the_mean_of_the_highest_probabilities() -> None:
    """Against the same mean in float64, also where a probability is 1 to float32."""
    network = small_network("paper")
    cells = torch.randn(2, 1, 40, 30, generator=torch.Generator().manual_seed(2)) * 8
    cells[1] += 30
    highest = cells.double().flatten(1).sort(dim=1, descending=True).values[:, :24]
    # For the second image the complement is what float64 can hold.
    expected = torch.stack([torch.logit(torch.sigmoid(highest[0]).mean()), -torch.logit(torch.sigmoid(-highest[1]).mean())])
    torch.testing.assert_close(network.score(cells).double(), expected, rtol=1e-4, atol=1e-4)


def test_what_judges_cells_belongs_to_the_bank_or_to_the_filters() -> None:
    """The light network's fully connected layer is in the bank, the paper's convolution is a filter."""
    light, paper = small_network("light"), small_network("paper")
    assert {"fc.weight", "fc.bias"} <= bank_of(light).keys()
    assert "fc.weight" in filters_of(paper)
    assert not any(name.startswith("fc.") for name in bank_of(paper))
