"""Export: what ONNX Runtime serves is what torch trained, for every kind of network and whatever bank is written into the graph."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from harness.networks import HEIGHT, KINDS, SPEC, WIDTH, another_bank, image_of, images, network_input, small_network
from torch import Tensor, nn

from dosremc_node.errors import BatchNormNotInBank, NetworkUnknown, NoSaliencyMap, WeightsDoNotFit
from dosremc_node.inference import Folding, build_session, folded_batch_norms
from dosremc_node.network import Network, Prediction, SaliencyResNet, bank_of, export_backbone, import_backbone, load_backbone, put_bank
from dosremc_node.network.architecture import ARCHITECTURES
from dosremc_node.network.banks import batch_norms
from dosremc_node.network.prediction import saliency_of
from dosremc_node.records import Domain, NetworkInput, NetworkOutput
from dosremc_node.releases import default_shelf
from dosremc_node.settings import ReleaseSettings

ROOT = Path(__file__).resolve().parents[2]
DOMAIN, OTHER = Domain("simulated-c"), Domain("simulated-b")

BACKBONES = {kind: export_backbone(small_network(kind), SPEC) for kind in KINDS}

of_every_kind = pytest.mark.parametrize("kind", KINDS)


# --- The graph --------------------------------------------------------------------------------------------------------


@of_every_kind
def test_the_graph_keeps_every_batch_norm(kind: str) -> None:
    """As many nodes as the network has batch norms, each fed by its own four initializers, which are named as in the bank."""
    network, graph = small_network(kind), onnx.load_model_from_string(BACKBONES[kind]).graph
    fed = [list(node.input[1:]) for node in graph.node if node.op_type == "BatchNormalization"]
    expected = [[f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")] for name, _ in batch_norms(network)]
    assert sorted(fed) == sorted(expected)
    assert bank_of(network).keys() <= {tensor.name for tensor in graph.initializer}


def test_batch_norms_that_start_alike_stay_apart() -> None:
    """In a network that nobody trained all gammas are equal, and the exporter would merge them: each still has its own in the graph."""
    network = SaliencyResNet()
    backbone = export_backbone(network, SPEC)
    nodes = onnx.load_model_from_string(backbone).graph.node
    assert not any(node.op_type == "Identity" for node in nodes)
    names = [name for node in nodes if node.op_type == "BatchNormalization" for name in node.input[1:]]
    assert len(names) == len(set(names)) == 21 * 4
    put_bank(network, bank := another_bank(network), DOMAIN)
    _assert_same(build_session(backbone, DOMAIN, bank, 1).score(shown := network_input(4)), network, shown)


@of_every_kind
def test_the_graph_is_as_releases_want_it(kind: str) -> None:
    """Promise 6: one image at a time, of the size that the preprocessing makes; one logit, and one map."""
    graph = onnx.load_model_from_string(BACKBONES[kind]).graph
    shapes = {each.name: [dimension.dim_value for dimension in each.type.tensor_type.shape.dim] for each in (*graph.input, *graph.output)}
    assert shapes.keys() == {"image", "logit", "saliency"}
    assert shapes["image"] == [1, 1, HEIGHT, WIDTH]
    output = build_session(BACKBONES[kind], DOMAIN, bank_of(small_network(kind)), threads=1).score(network_input(1))
    assert output.saliency.ndim == 2


@pytest.mark.parametrize(
    ("kind", "folding"),
    [("light", Folding(11, 21)), ("paper", Folding(10, 21)), ("gmic", Folding(30, 41)), ("classifier", Folding(2, 2))],
)
def test_as_many_batch_norms_fold_as_the_architecture_allows(kind: str, folding: Folding) -> None:
    """Those whose input is a convolution's output alone fold. In a pre-activation block that is the second of two: 10 of the ResNet-22's
    21, and one more where no maximum stands between the stem and the first block; all 20 of the ResNet-18; all where normalisation
    follows each convolution.
    """
    assert folded_batch_norms(BACKBONES[kind], DOMAIN, another_bank(small_network(kind))) == folding


# --- The numbers ------------------------------------------------------------------------------------------------------


@of_every_kind
@pytest.mark.parametrize("seed", [1, 2])
def test_runtime_and_torch_agree_on_every_bank(kind: str, seed: int) -> None:
    """For each of three banks that are written into one graph, the logit is torch's within 1e-4, and the map within 1e-3."""
    network, shown = small_network(kind), network_input(seed)
    for bank in (bank_of(network), another_bank(network, 5), another_bank(network, 6)):
        put_bank(network, bank, DOMAIN)
        _assert_same(build_session(BACKBONES[kind], DOMAIN, bank, threads=1).score(shown), network, shown)


@of_every_kind
def test_the_second_bank_is_not_served_with_the_firsts_statistics(kind: str) -> None:
    """Of two banks that differ in running statistics alone, each session gives its own one's numbers, and they are far apart."""
    network, shown = small_network(kind), network_input(3)
    first = bank_of(network)
    second = {name: values + 0.7 if "running" in name else values for name, values in first.items()}
    scored = [build_session(BACKBONES[kind], domain, bank, 1).score(shown) for domain, bank in ((DOMAIN, first), (OTHER, second))]
    assert abs(scored[0].logit - scored[1].logit) > 1e-2
    for output, bank in zip(scored, (first, second), strict=True):
        put_bank(network, bank, DOMAIN)
        _assert_same(output, network, shown)


def test_exporting_leaves_the_network_as_it_is() -> None:
    """A network in training goes on training, with every tensor what it was."""
    network = small_network("gmic").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    export_backbone(network, SPEC)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


# --- The way back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "classifier"])
def test_import_is_the_way_back(kind: str) -> None:
    """The network of an exported graph is the network that was exported: its class, its configuration, its filters and its bank."""
    network, twin = small_network(kind), import_backbone(BACKBONES[kind])
    assert type(twin) is type(network)
    assert twin.configuration == network.configuration
    assert twin.state_dict().keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(tensor, twin.state_dict()[name]), name


def test_every_architecture_of_ours_is_tested_here() -> None:
    """Each class that a graph may name has been exported and imported above."""
    assert ARCHITECTURES.keys() == {type(small_network(kind)).__name__ for kind in KINDS if kind != "classifier"}


def test_a_network_of_ones_own_is_filled_by_its_maker() -> None:
    """A graph of a class that is not ours says so, and fills a network that was built like it; any other is refused by name."""
    with pytest.raises(NetworkUnknown, match=r"Classifier.*load_backbone"):
        import_backbone(BACKBONES["classifier"])
    network = small_network("classifier")
    expected = network(images(1)).logits
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert torch.equal(load_backbone(network, BACKBONES["classifier"])(images(1)).logits, expected)
    with pytest.raises(WeightsDoNotFit, match=r"SaliencyResNet.*stem\.weight is missing"):
        load_backbone(small_network("light"), BACKBONES["classifier"])


@pytest.mark.parametrize(
    "said", ["nothing", "[]", "{}", '{"network": "os.system"}', '{"network": "GMIC", "configuration": {"crops": "x"}}']
)
def test_a_graph_that_names_no_network_is_refused(said: str) -> None:
    """Whatever stands in the metadata, or nothing: an error that shows it, and no other network instead."""
    model = onnx.load_model_from_string(BACKBONES["light"])
    onnx.helper.set_model_props(model, {"network": said})
    with pytest.raises(NetworkUnknown, match="does not say which network"):
        import_backbone(model.SerializeToString())
    del model.metadata_props[:]
    with pytest.raises(NetworkUnknown, match="no entry 'network'"):
        import_backbone(model.SerializeToString())


# --- What cannot be exported ------------------------------------------------------------------------------------------


class Blind(Network):
    """Judges without a map."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm, self.fc = norm, nn.Linear(1, 1)

    def forward(self, images: Tensor) -> Prediction:
        features = self.norm(images).mean(dim=(2, 3))
        return Prediction(logits=self.fc(features)[:, 0], saliency=None, features=features)


def test_a_network_without_a_map_is_refused_by_name() -> None:
    """Nothing can be served without regions: the error names the network's class."""
    with pytest.raises(NoSaliencyMap, match="Blind gives no saliency map"):
        export_backbone(Blind(nn.BatchNorm2d(1)), SPEC)


def test_a_batch_norm_that_could_not_be_exchanged_is_refused_by_name() -> None:
    """Before anything is written."""
    with pytest.raises(BatchNormNotInBank, match="batch norm norm has no weight"):
        export_backbone(Blind(nn.BatchNorm2d(1, affine=False)), SPEC)


# --- The shipped release ----------------------------------------------------------------------------------------------


def test_every_shipped_bank_scores_as_in_torch() -> None:
    """For each bank of the demonstration release ONNX Runtime and torch agree within 1e-4, and banks disagree with each other."""
    shelf = default_shelf(ReleaseSettings())
    shelf.verify("demonstration")
    loaded = shelf.load("demonstration")
    spec, backbone = loaded.release.preprocessing, loaded.backbone()
    image, network, seen = network_input(2, spec.height, spec.width), import_backbone(backbone), set()
    for domain in loaded.release.banks:
        put_bank(network, loaded.bank(domain), domain)
        output = build_session(backbone, domain, loaded.bank(domain), threads=1).score(image)
        _assert_same(output, network, image)
        seen.add(round(output.logit, 4))
    assert len(seen) == len(loaded.release.banks) == 4


def test_the_shipped_release_says_what_it_is() -> None:
    """It is small, marked as a demonstration, and has a bank for each simulated domain, and its evidence says how good."""
    loaded = default_shelf(ReleaseSettings()).load("demonstration")
    assert loaded.release.demonstration
    assert loaded.release.statement == "Demonstration weights, trained on simulated images, no clinical meaning."
    assert sum(path.stat().st_size for path in loaded.folder.rglob("*") if path.is_file()) < 3_000_000
    domains = tomllib.loads((ROOT / "config" / "domains.toml").read_text())
    assert loaded.release.banks.keys() <= domains.keys()
    assert loaded.release.operating_points.keys() == loaded.release.banks.keys()
    manifest = json.loads((loaded.folder / "release.json").read_text())
    for domain in loaded.release.banks:
        after = "with the bank of A" if domain == "simulated-a" else "with its own bank"
        assert manifest["metrics"][domain][after]["breast_auc"] >= 0.85
        assert manifest["metrics"][domain][after]["highest_cell_on_the_lesion"] >= 0.8


def _assert_same(output: NetworkOutput, network: Network, shown: NetworkInput) -> None:
    with torch.no_grad():
        prediction = network.eval()(image_of(shown))
    assert output.logit == pytest.approx(prediction.logits.item(), abs=1e-4)
    np.testing.assert_allclose(output.saliency, torch.sigmoid(saliency_of(network, prediction))[0, 0].numpy(), atol=1e-3)
