"""Export of the backbone to ONNX, with batch norm kept as nodes whose parameters are initializers named as in the bank."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from dosremc_node.network.banks import bank_of
from dosremc_node.network.model import SaliencyNetwork
from dosremc_node.network.prediction import Network, saliency_of
from dosremc_node.records import PreprocessingSpec

OPSET = 17


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

    The batch is fixed at one, so that no image can depend on another. The legacy exporter is asked neither to fold constants nor to
    train, because either would merge batch norm into filters and leave nothing to exchange.
    """
    network.eval()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "backbone.onnx"
        # The legacy exporter announces its own retirement at every call; its successor folds batch norm at export.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _Served(network), (torch.zeros(1, 1, spec.height, spec.width),), path,
            input_names=["image"], output_names=["logit", "saliency"], opset_version=OPSET, dynamo=False,
            training=torch.onnx.TrainingMode.EVAL, do_constant_folding=False, keep_initializers_as_inputs=False,
        )  # fmt: skip
        graph = onnx.load_model(path)
    _share_nothing(graph)
    _drop_prefix(graph, "network.")
    _check_names(graph, network)
    onnx.checker.check_model(graph)
    return bytes(graph.SerializeToString())


def import_backbone(backbone: bytes) -> SaliencyNetwork:
    """The network of a serialised graph, with the filters and the bank that it holds: where adaptation starts from."""
    graph = onnx.load_model_from_string(backbone).graph
    values = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    widths = [values[name].shape[0] for name in ("stem.weight", "stages.0.conv1.weight", "stages.2.conv1.weight", "stages.4.conv1.weight")]
    network = SaliencyNetwork((widths[0], widths[1], widths[2], widths[3]))
    counters = {name for name in network.state_dict() if name.endswith("num_batches_tracked")}
    network.load_state_dict({name: values[name] for name in network.state_dict().keys() - counters}, strict=False)
    return network.eval()


def _share_nothing(model: onnx.ModelProto) -> None:
    """Undo the exporter's merging of initializers that happen to be equal (an Identity node stands for the second one).

    Two batch norms that start with the same gamma are no longer the same once a bank has been trained.
    """
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Identity" and node.input[0] in initializers]:
        copy = onnx.TensorProto()
        copy.CopyFrom(initializers[node.input[0]])
        copy.name = node.output[0]
        graph.initializer.append(copy)
        graph.node.remove(node)


def _drop_prefix(model: onnx.ModelProto, prefix: str) -> None:
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.removeprefix(prefix)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = name.removeprefix(prefix)


def _check_names(model: onnx.ModelProto, network: nn.Module) -> None:
    """Every entry of the bank must be an initializer of its own: a folded or renamed one could never be exchanged."""
    missing = bank_of(network).keys() - {tensor.name for tensor in model.graph.initializer}
    if missing:
        raise RuntimeError(f"the exporter renamed or folded {min(missing)}")
