"""Export of the backbone to ONNX, with batch norm kept as nodes whose parameters are initializers named as in the bank."""

from __future__ import annotations

import warnings
from io import BytesIO

import onnx
import torch
from torch import Tensor, nn

from dosremc_node.network.banks import bank_of
from dosremc_node.records import PreprocessingSpec

OPSET = 17


class _Served(nn.Module):
    """What is served: the logit, and the saliency map as probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logit, cells = self.network(image)
        return logit, torch.sigmoid(cells)


def export_backbone(network: nn.Module, spec: PreprocessingSpec) -> bytes:
    """The serialised graph: input ``image`` (1, 1, height, width); outputs ``logit`` (1,) and ``saliency`` (1, 1, h, w).

    The batch is fixed at one, so that no image can depend on another. The legacy exporter is asked neither to fold constants nor to
    train, because either would merge batch norm into filters and leave nothing to exchange.
    """
    network.eval()
    buffer = BytesIO()
    with warnings.catch_warnings():
        # The legacy exporter announces its own retirement at every call; its successor folds batch norm at export.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _Served(network), (torch.zeros(1, 1, spec.height, spec.width),), buffer,
            input_names=["image"], output_names=["logit", "saliency"], opset_version=OPSET, dynamo=False,
            training=torch.onnx.TrainingMode.EVAL, do_constant_folding=False, keep_initializers_as_inputs=False,
        )  # fmt: skip
    graph = onnx.load_model_from_string(buffer.getvalue())
    _share_nothing(graph)
    _drop_prefix(graph, "network.")
    _check_names(graph, network)
    onnx.checker.check_model(graph)
    return bytes(graph.SerializeToString())


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
        raise RuntimeError(f"the exporter renamed or folded {sorted(missing)[0]}")
