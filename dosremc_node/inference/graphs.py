"""A bank written into a graph: the serialised backbone with the initializers of one domain."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from dosremc_node.errors import BankDoesNotFit
from dosremc_node.records import Domain

Bank = Mapping[str, NDArray[np.float32]]


def with_bank(backbone: bytes, domain: Domain, bank: Bank) -> onnx.ModelProto:
    """The graph ``backbone`` with the ``bank`` of ``domain`` in the place of its own; raises `BankDoesNotFit`."""
    model = onnx.load_model_from_string(backbone)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    _check_batch_norms(model, domain, bank)
    for name, values in bank.items():
        if name not in initializers:
            raise BankDoesNotFit(domain=domain, why=f"the graph has no initializer {name}")
        _check_entry(initializers[name], domain, values)
        initializers[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))
    return model


def batch_norms(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The batch norms that stand as nodes in a graph."""
    return [node for node in model.graph.node if node.op_type == "BatchNormalization"]


def _check_batch_norms(model: onnx.ModelProto, domain: Domain, bank: Bank) -> None:
    """A batch norm that does not read the bank would silently serve another domain's statistics."""
    for node in batch_norms(model):
        for name in node.input[1:]:
            if name not in bank:
                raise BankDoesNotFit(domain=domain, why=f"the batch norm {node.name or node.output[0]} needs {name}")


def _check_entry(tensor: onnx.TensorProto, domain: Domain, values: NDArray[np.float32]) -> None:
    expected = tuple(tensor.dims)
    if values.shape != expected or values.dtype != np.float32 or tensor.data_type != onnx.TensorProto.FLOAT:
        found = f"{values.dtype} {values.shape}"
        raise BankDoesNotFit(domain=domain, why=f"{tensor.name} is {found}, the graph has float32 {expected}")
