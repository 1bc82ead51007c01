"""Any classifier as a network: MONAI's ResNet-18 is the worked example."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from harness.networks import HEIGHT, SPEC, WIDTH, Strangers, image_of, images, network_input, small_network
from monai.networks.nets import densenet121, resnet18
from torch import nn

from dosremc_node.errors import NotAClassifier
from dosremc_node.inference import Folding, build_session, folded_batch_norms
from dosremc_node.network import Classifier, bank_of, export_backbone, filters_frozen, put_bank
from dosremc_node.network.banks import batch_norms
from dosremc_node.records import Domain, OperatingPoint
from dosremc_node.releases import ReleaseFacts, ReleaseShelf, write_release


def monai_resnet18() -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = resnet18(spatial_dims=2, n_input_channels=1, num_classes=1)
    return made.eval()


def monai_densenet() -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = densenet121(spatial_dims=2, in_channels=1, out_channels=1)
    return made.eval()


@pytest.mark.parametrize(
    ("make", "pool", "head"),
    [(monai_resnet18, "avgpool", "fc"), (monai_densenet, "class_layers.pool", "class_layers.out"), (Strangers, "average", "judge")],
    ids=["resnet18", "densenet121", "one of nobody's"],
)
def test_the_map_is_what_the_score_is_made_of(make: object, pool: str, head: str) -> None:
    """The logit is the model's own, and the mean of the map's cells."""
    model = make().eval()  # type: ignore[operator]
    network = Classifier(model, pool, head).eval()
    with torch.no_grad():
        prediction, own = network(images(2)), model(images(2))[:, 0]
    assert prediction.saliency is not None
    torch.testing.assert_close(prediction.logits, own, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prediction.saliency.mean(dim=(1, 2, 3)), prediction.logits)
    torch.testing.assert_close(model.get_submodule(head)(prediction.features)[:, 0], prediction.logits, rtol=1e-4, atol=1e-5)


def test_the_bank_is_that_of_the_model() -> None:
    """MONAI's ResNet-18 has 20 batch norms and one linear layer; with the bias of its ways around, which is a filter."""
    network = Classifier(monai_resnet18())
    assert len(list(batch_norms(network))) == 20
    assert len(bank_of(network)) == 20 * 4 + 2
    assert "model.layer2.0.downsample.0.bias" not in bank_of(network)


def test_a_copy_is_a_network_of_its_own() -> None:
    """Nothing of the model that it was copied from speaks in a copy."""
    import copy  # noqa: PLC0415

    network = small_network("classifier")
    twin = copy.deepcopy(network)
    with torch.no_grad():
        before = twin(images(1)).logits
        for parameter in network.parameters():
            parameter.add_(1)
        assert torch.equal(twin(images(1)).logits, before)


@pytest.mark.parametrize(
    ("model", "layers", "why"),
    [
        (Strangers(), ("avgpool", "judge"), "Strangers.*has no layer avgpool"),
        (Strangers(), ("average", "trunk"), "judges by Sequential"),
        (Strangers(), ("trunk", "judge"), "pools by Sequential"),
        (nn.ModuleDict({"pool": nn.AdaptiveAvgPool2d(2), "fc": nn.Linear(4, 1)}), ("pool", "fc"), "not by a global average"),
        (nn.ModuleDict({"pool": nn.AdaptiveMaxPool2d(1), "fc": nn.Linear(4, 1)}), ("pool", "fc"), "AdaptiveMaxPool2d"),
        (nn.ModuleDict({"pool": nn.AdaptiveAvgPool2d(1), "fc": nn.Linear(4, 2)}), ("pool", "fc"), "one output"),
    ],
)
def test_what_gives_no_such_map_is_refused(model: nn.Module, layers: tuple[str, str], why: str) -> None:
    """Another pooling, another judge, a name that is not there: an error that says which."""
    with pytest.raises(NotAClassifier, match=why):
        Classifier(model, *layers)


def test_a_pool_that_is_never_reached_is_refused() -> None:
    """A layer that stands in the model and is not on the way gives no features."""
    model = Strangers()
    model.unused = nn.AdaptiveAvgPool2d(1)
    with pytest.raises(NotAClassifier, match=r"unused was handed \[\]"):
        Classifier(model, "unused", "judge")(images(1))


def test_ten_lines_for_a_network_of_ones_own(tmp_path: Path) -> None:
    """The README's example: MONAI's ResNet-18 split, adapted to another scanner, exported, and written as a release whose digests hold."""
    images_of_b = torch.randn(16, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)) * 2 + 1
    malignant = torch.arange(16) % 2
    point = OperatingPoint(threshold=0.5)
    facts = ReleaseFacts("mine", SPEC, {"a": point, "b": point}, approver="nobody", demonstration=True, statement="No clinical meaning.")

    network = Classifier(resnet18(spatial_dims=2, n_input_channels=1, num_classes=1), pool="avgpool", head="fc")
    banks = {Domain("a"): bank_of(network.eval())}
    with filters_frozen(network.train()) as learning:
        optimiser = torch.optim.Adam(learning, lr=1e-3)
        for chosen in torch.arange(16).split(8):
            optimiser.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(images_of_b[chosen]).logits, malignant[chosen].float()).backward()
            optimiser.step()
    banks[Domain("b")] = bank_of(network.eval())
    release = write_release(tmp_path, facts, export_backbone(network, SPEC), banks)

    shelf = ReleaseShelf([tmp_path])
    shelf.verify("mine")
    assert len({bank.sha256 for bank in release.banks.values()}) == 2
    loaded, shown = shelf.load("mine"), network_input(1)
    for domain, bank in banks.items():
        put_bank(network, bank, domain)
        assert folded_batch_norms(loaded.backbone(), domain, loaded.bank(domain)) == Folding(20, 20)
        with torch.no_grad():
            expected = network(image_of(shown)).logits.item()
        assert build_session(loaded.backbone(), domain, loaded.bank(domain), 1).score(shown).logit == pytest.approx(expected, abs=1e-4)
