"""Published GMIC weights: the key map against the names that are documented, and what does not fit is named."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from harness.networks import images, small_network
from torch import Tensor

from dosremc_node.errors import WeightsDoNotFit, WeightsUnreadable
from dosremc_node.network import GMIC, load_gmic
from dosremc_node.network.published_weights import published_name

DOCUMENTED = (
    "ds_net.first_conv.weight", "ds_net.layer_list.0.0.conv1.weight", "ds_net.layer_list.0.0.downsample.0.weight",
    "ds_net.layer_list.4.1.bn2.running_var", "ds_net.final_bn.running_mean", "left_postprocess_net.gn_conv_last.weight",
    "dn_resnet.conv1.weight", "dn_resnet.layer3.1.conv2.weight", "dn_resnet.layer2.0.downsample.1.weight", "mil_attn_V.weight",
    "mil_attn_U.weight", "mil_attn_w.weight", "classifier_linear.weight", "fusion_dnn.weight", "fusion_dnn.bias",
)  # fmt: skip


@pytest.fixture
def network() -> GMIC:
    made = small_network("gmic")
    assert isinstance(made, GMIC)
    return made


@pytest.fixture
def published(network: GMIC) -> dict[str, Tensor]:
    """A state dict like a published one: its names, its one spare entry, and other weights than the network's."""
    state = {published_name(name, network): tensor + 1 for name, tensor in network.state_dict().items()}
    return {**state, "shared_rep_filter.weight": torch.zeros(2, 2, 4, 4)}


def saved(state: object, folder: Path) -> Path:
    torch.save(state, folder / "weights.p")
    return folder / "weights.p"


def test_the_names_are_the_documented_ones(network: GMIC) -> None:
    """258 entries, of which 205 belong to 41 batch norms, each with a name of its own, the documented ones among them."""
    names = {published_name(name, network) for name in network.state_dict()}
    assert len(names) == len(network.state_dict()) == 258
    assert set(DOCUMENTED) <= names
    assert sum(".bn" in name or "final_bn" in name or "downsample.1" in name for name in names) == 205


def test_every_entry_finds_its_place(network: GMIC, published: dict[str, Tensor], tmp_path: Path) -> None:
    """After loading every tensor of the network is the published one, and it judges otherwise than before."""
    with torch.no_grad():
        before = network(images(1)).logits
        load_gmic(network, saved(published, tmp_path))
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, published[published_name(name, network)]), name
        assert not torch.equal(network(images(1)).logits, before)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda state: state.pop("mil_attn_U.weight"), r"only the network has mil_attn_U\.weight"),
        (lambda state: state.update({"ds_net.extra.weight": torch.zeros(1)}), r"only the checkpoint has ds_net\.extra\.weight"),
        (lambda state: state.update({"fusion_dnn.bias": torch.zeros(3)}), r"fusion_dnn\.bias is \(3,\), not \(2,\)"),
    ],
    ids=["missing", "spare", "shape"],
)
def test_what_does_not_fit_is_named(
    network: GMIC, published: dict[str, Tensor], tmp_path: Path, spoil: Callable[[dict[str, Tensor]], object], why: str
) -> None:
    """A missing entry, a spare one or another shape is an error that names it, and the network is as it was."""
    spoil(published)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(WeightsDoNotFit, match=why):
        load_gmic(network, saved(published, tmp_path))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


class Harmful:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize(
    "how", [torch.save, lambda state, path: path.write_bytes(pickle.dumps(state, protocol=2))], ids=["torch", "pickle"]
)
def test_nothing_of_a_file_is_executed(network: GMIC, tmp_path: Path, how: Callable[[object, Path], object]) -> None:
    """A file that would run code when it is unpickled is refused, and nothing has run."""
    how({"ds_net.first_conv.weight": Harmful(tmp_path / "ran")}, tmp_path / "weights.p")
    with pytest.raises(WeightsUnreadable, match=r"weights\.p"):
        load_gmic(network, tmp_path / "weights.p")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("state", [[1, 2], {"ds_net.first_conv.weight": "no tensor"}, torch.zeros(2)])
def test_what_is_no_state_dict_is_refused(network: GMIC, tmp_path: Path, state: object) -> None:
    """Names and tensors, or an error that names the file; so is a file that is not there."""
    with pytest.raises(WeightsUnreadable, match=r"weights\.p.*no state dict"):
        load_gmic(network, saved(state, tmp_path))
    with pytest.raises(WeightsUnreadable, match=r"nowhere\.p"):
        load_gmic(network, tmp_path / "nowhere.p")
