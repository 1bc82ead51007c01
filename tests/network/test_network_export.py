"""Export: what ONNX Runtime serves is what torch trained, whatever bank is written into the graph."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from dosremc_node.imaging import DEFAULT_SPEC
from dosremc_node.inference import build_session
from dosremc_node.network import Bank, SaliencyNetwork, bank_of, export_backbone, import_backbone, put_bank
from dosremc_node.network.banks import batch_norms
from dosremc_node.network.prediction import saliency_of
from dosremc_node.records import Domain, InputGeometry, NetworkInput
from dosremc_node.releases import default_shelf
from dosremc_node.settings import ReleaseSettings

SPEC = replace(DEFAULT_SPEC, height=96, width=48)
ROOT = Path(__file__).resolve().parents[2]
DOMAIN = Domain("simulated-c")


def network_input(seed: int, height: int, width: int) -> NetworkInput:
    pixels = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    return NetworkInput(pixels, np.ones((height, width), np.bool_), InputGeometry(1, 0, 0, 0, 1, 0), height, width)


def another_bank(network: SaliencyNetwork) -> Bank:
    random = np.random.default_rng(5)
    return {name: (values + random.uniform(0.1, 0.6, values.shape)).astype(np.float32) for name, values in bank_of(network).items()}


@pytest.fixture(scope="module")
def network() -> SaliencyNetwork:
    torch.manual_seed(0)
    return SaliencyNetwork((4, 6, 8, 8))


@pytest.fixture(scope="module")
def backbone(network: SaliencyNetwork) -> bytes:
    return export_backbone(network, SPEC)


def test_the_graph_keeps_every_batch_norm(network: SaliencyNetwork, backbone: bytes) -> None:
    """As many nodes as the network has batch norms, each fed by its own four initializers, which are named as in the bank."""
    graph = onnx.load_model_from_string(backbone).graph
    fed = [list(node.input[1:]) for node in graph.node if node.op_type == "BatchNormalization"]
    expected = [[f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")] for name, _ in batch_norms(network)]
    assert sorted(fed) == sorted(expected)
    assert bank_of(network).keys() <= {tensor.name for tensor in graph.initializer}


def test_the_batch_is_fixed_at_one(backbone: bytes) -> None:
    """Promise 6: the graph takes one image at a time."""
    shape = onnx.load_model_from_string(backbone).graph.input[0].type.tensor_type.shape
    assert [dimension.dim_value for dimension in shape.dim] == [1, 1, SPEC.height, SPEC.width]


def test_runtime_and_torch_agree_on_any_bank(network: SaliencyNetwork, backbone: bytes) -> None:
    """A bank that is written into the exported graph gives torch's logit and map."""
    bank = another_bank(network)
    session = build_session(backbone, DOMAIN, bank, threads=1)
    twin = import_backbone(backbone)
    put_bank(twin, bank, DOMAIN)
    _assert_same(session.score(image := network_input(1, SPEC.height, SPEC.width)), twin, image)


def test_import_is_the_way_back(network: SaliencyNetwork, backbone: bytes) -> None:
    """The network of an exported graph is the network that was exported, filters and bank."""
    twin = import_backbone(backbone).state_dict()
    assert all(torch.equal(tensor, twin[name]) for name, tensor in network.state_dict().items() if "num_batches" not in name)


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
    assert len(seen) == len(loaded.release.banks) == 3


def test_the_shipped_release_says_what_it_is() -> None:
    """It is small, marked as a demonstration, and has a bank for each simulated domain, better than chance, with its evidence."""
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
        assert manifest["metrics"][domain][after]["breast_auc"] > 0.8


def _assert_same(output: object, network: SaliencyNetwork, image: NetworkInput) -> None:
    with torch.no_grad():
        torchs = network.eval()(torch.from_numpy(image.pixels)[None, None])
    assert output.logit == pytest.approx(torchs.logits.item(), abs=1e-4)  # type: ignore[attr-defined]
    np.testing.assert_allclose(output.saliency, torch.sigmoid(saliency_of(network, torchs))[0, 0].numpy(), atol=1e-4)  # type: ignore[attr-defined]
