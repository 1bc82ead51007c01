"""Published GMIC weights: the names that their state dict has, and the network's names for the same tensors.

Documented in what users of the published files wrote of them: the eight parts of `PARTS`; ``first_conv``, ``layer_list.<stage>.<block>``
with ``bn1``, ``conv1``, ``bn2``, ``conv2`` and ``downsample.0``, and ``final_bn`` of the global half; ``conv1`` and ``layer<n>.<block>.conv2``
of the local half; that there are 259 entries, of which 258 are of use, 205 of 41 batch norms, and that ``shared_rep_filter.weight``, a
convolution of 256 x 256 x 4 x 4 from another variant, stands outside the way to the score. Inferred, because the local half is an ordinary
ResNet-18: its ``bn1``, ``layer<n>.<block>.bn1`` and so on, and ``downsample.0`` and ``downsample.1``. With these names the network
has the 258 entries, to the last one. No published file was loaded here: the first one that is should be held against known scores.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from dosremc_node.errors import WeightsDoNotFit, WeightsUnreadable
from dosremc_node.network.gmic import GMIC
from dosremc_node.network.resnet18 import BLOCKS_PER_STAGE

PARTS = {
    "overview.fc": "left_postprocess_net.gn_conv_last",
    "attention.value": "mil_attn_V",
    "attention.gate": "mil_attn_U",
    "attention.weight": "mil_attn_w",
    "local": "classifier_linear",
    "fusion": "fusion_dnn",
    "overview": "ds_net",
    "closer": "dn_resnet",
}
"""Ours and theirs, the longer before the shorter."""

LAYERS = {"norm1": "bn1", "norm2": "bn2", "shortcut": "downsample.0", "shortcut.0": "downsample.0", "shortcut.1": "downsample.1"}
OVERVIEW = {"stem": "first_conv", "norm": "final_bn"}
CLOSER = {"conv": "conv1", "norm": "bn1"}
UNUSED = frozenset({"shared_rep_filter.weight"})


def load_gmic(network: GMIC, path: Path) -> None:
    """Fill a network with the weights of a published checkpoint, a state dict that torch saved.

    Nothing but tensors is unpickled. Raises `WeightsUnreadable`, and `WeightsDoNotFit`, which names an entry that is missing, spare or of
    another shape; then the network is as it was.
    """
    state = _read(path)
    ours = network.state_dict()
    theirs = {published_name(name, network): name for name in ours}
    for names, has_it in ((theirs.keys() - state.keys(), "the network"), (state.keys() - theirs.keys() - UNUSED, "the checkpoint")):
        if names:
            raise _misfit(path, f"only {has_it} has {min(names)}")
    for published, name in theirs.items():
        if state[published].shape != ours[name].shape:
            raise _misfit(path, f"{published} is {tuple(state[published].shape)}, not {tuple(ours[name].shape)}")
    network.load_state_dict({name: state[published] for published, name in theirs.items()})


def published_name(name: str, network: GMIC) -> str:
    """The published name of an entry of the network's state."""
    part = next(part for part in PARTS if name.startswith(f"{part}."))
    layer = name.removeprefix(f"{part}.")
    if part not in {"overview", "closer"}:
        return f"{PARTS[part]}.{layer}"
    module, _, kind = layer.rpartition(".")
    return f"{PARTS[part]}.{_module(part, module, network)}.{kind}"


def _module(part: str, module: str, network: GMIC) -> str:
    """The published name of a layer of one of the two residual networks, whose blocks are counted within their stage."""
    if not module.startswith("stages."):
        return (OVERVIEW if part == "overview" else CLOSER)[module]
    _, block, layer = module.split(".", 2)
    stages = [stage.blocks for stage in network.configuration.overview.stages] if part == "overview" else [BLOCKS_PER_STAGE] * 4
    stage, within = list(_places(stages))[int(block)]
    where = f"layer_list.{stage}.{within}" if part == "overview" else f"layer{stage + 1}.{within}"
    return f"{where}.{LAYERS.get(layer, layer)}"


def _places(stages: list[int]) -> Iterator[tuple[int, int]]:
    return ((stage, block) for stage, blocks in enumerate(stages) for block in range(blocks))


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsUnreadable(source=path, why=str(error).partition("\n")[0]) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsUnreadable(source=path, why="it is no state dict: names and tensors, nothing else")
    return state


def _misfit(path: Path, why: str) -> WeightsDoNotFit:
    return WeightsDoNotFit(source=path, network=GMIC.__name__, why=why)
