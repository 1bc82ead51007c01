"""Export of a network to ONNX, with batch norm kept as nodes whose parameters are initializers named as in the bank, and the way back."""

from __future__ import annotations

import copy
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from dosremc_node.errors import NetworkUnknown, WeightsDoNotFit
from dosremc_node.network.architecture import build, describe
from dosremc_node.network.banks import bank_of, filters_of
from dosremc_node.network.prediction import Network, saliency_of
from dosremc_node.records import PreprocessingSpec

OPSET = 17
ARCHITECTURE = "network"
"""The entry of the graph's metadata that says which network it is."""


class _Served(nn.Module):
    """What is served: the logit, and the saliency map as probabilities."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        prediction = self.network(image)
        return prediction.logits, torch.sigmoid(saliency_of(self.network, prediction))


def export_backbone(network: Network, spec: PreprocessingSpec) -> bytes:
    """The serialised graph: input ``image`` (1, 1, height, width); outputs ``logit`` (1,) and ``saliency`` (1, 1, h, w).

    The batch is fixed at one, so that no image can depend on another. The network itself stays as and where it is. Raises `NoSaliencyMap`,
    and `BatchNormNotInBank`.
    """
    served = copy.deepcopy(network).cpu().eval()
    bank_of(served)
    graph = _traced(served, spec)
    _share_nothing(graph)
    _drop_prefix(graph, "network.")
    _check_names(graph, served)
    _add_what_is_not_served(graph, served)
    onnx.helper.set_model_props(graph, {ARCHITECTURE: describe(network)})
    onnx.checker.check_model(graph)
    return bytes(graph.SerializeToString())


def import_backbone(backbone: bytes) -> Network:
    """The network of a graph, with the filters and the bank that it holds: where adaptation starts from.

    Raises `NetworkUnknown` where the graph does not say which of our networks it is.
    """
    model = onnx.load_model_from_string(backbone)
    said = {entry.key: entry.value for entry in model.metadata_props}
    if ARCHITECTURE not in said:
        raise NetworkUnknown(why=f"its metadata has no entry {ARCHITECTURE!r}")
    return load_backbone(build(said[ARCHITECTURE]), backbone)


def load_backbone(network: Network, backbone: bytes) -> Network:
    """Fill a network with the filters and the bank of a graph that was exported from one like it, and give it back.

    Raises `WeightsDoNotFit`, naming what is missing or has another shape, and then changes nothing.
    """
    graph = onnx.load_model_from_string(backbone).graph
    values = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    held = bank_of(network).keys() | filters_of(network).keys()
    state = {name: tensor for name, tensor in network.state_dict().items() if name in held}
    for name, tensor in state.items():
        if name not in values or values[name].shape != tensor.shape:
            found = tuple(values[name].shape) if name in values else "missing"
            raise WeightsDoNotFit(source="the graph", network=type(network).__name__, why=f"{name} is {found}, not {tuple(tensor.shape)}")
    network.load_state_dict({name: values[name] for name in state}, strict=False)
    return network.eval()


def _traced(network: Network, spec: PreprocessingSpec) -> onnx.ModelProto:
    """The graph as the legacy exporter traces it. It is asked neither to fold constants nor to train, because either would merge batch norm
    into filters and leave nothing to exchange.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "backbone.onnx"
        # The legacy exporter announces its own retirement at every call; its successor folds batch norm at export.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Sizes become constants of the graph, and it is meant to have one size.
        warnings.simplefilter("ignore", TracerWarning)
        torch.onnx.export(
            _Served(network), (torch.zeros(1, 1, spec.height, spec.width),), path,
            input_names=["image"], output_names=["logit", "saliency"], opset_version=OPSET, dynamo=False,
            training=torch.onnx.TrainingMode.EVAL, do_constant_folding=False, keep_initializers_as_inputs=False,
        )  # fmt: skip
        return onnx.load_model(path)


def _share_nothing(model: onnx.ModelProto) -> None:
    """Undo the exporter's merging of initializers that happen to be equal (an Identity node stands for the second one).

    Two batch norms that start with the same gamma are no longer the same once a bank has been trained.
    """
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Identity" and node.input[0] in initializers]:
        twin = onnx.TensorProto()
        twin.CopyFrom(initializers[node.input[0]])
        twin.name = node.output[0]
        graph.initializer.append(twin)
        graph.node.remove(node)


def _drop_prefix(model: onnx.ModelProto, prefix: str) -> None:
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.removeprefix(prefix)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = name.removeprefix(prefix)


def _check_names(model: onnx.ModelProto, network: nn.Module) -> None:
    """Every initializer must be a tensor of the network under its own name: a folded or renamed one could never be exchanged."""
    strange = {tensor.name for tensor in model.graph.initializer} - network.state_dict().keys()
    if strange:
        raise RuntimeError(f"the exporter renamed or folded what is now {min(strange)}")


def _add_what_is_not_served(model: onnx.ModelProto, network: nn.Module) -> None:
    """What no output needs, such as the judgement of a branch that is only trained with, is an initializer too: the bank has it, and
    `import_backbone` gives the whole network back. A runtime drops it.
    """
    held, bank = {tensor.name for tensor in model.graph.initializer}, bank_of(network)
    for name, tensor in network.state_dict().items():
        if name not in held and (name in bank or name in filters_of(network)):
            model.graph.initializer.append(numpy_helper.from_array(tensor.detach().cpu().contiguous().numpy(), name))
