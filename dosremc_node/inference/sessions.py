"""One ONNX Runtime session: a backbone with a bank written into it.

The bank goes into the graph's own initializers before the session is made, so that the runtime sees constants and folds
batch norm into the convolutions. `SessionOptions.add_initializer` looks like a shortcut and is none: constants have been
folded by the time it replaces them, and the scores are wrong without a word.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from dosremc_node.errors import BankDoesNotFit, ScoreNotFinite
from dosremc_node.records import Domain, NetworkInput, NetworkOutput

Bank = Mapping[str, NDArray[np.float32]]

CPU = "CPUExecutionProvider"
ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class Session:
    """A network ready to score. Safe across threads."""

    domain: Domain
    runtime: onnxruntime.InferenceSession

    def score(self, network_input: NetworkInput) -> NetworkOutput:
        """Score one image; the same pixels give the same bits. Raises `ScoreNotFinite`."""
        image = np.ascontiguousarray(network_input.pixels, np.float32)[np.newaxis, np.newaxis]
        logit, saliency = self.runtime.run(["logit", "saliency"], {"image": image})
        if not (np.isfinite(logit).all() and np.isfinite(saliency).all()):
            raise ScoreNotFinite(domain=self.domain)
        return NetworkOutput(logit=float(logit.item()), saliency=saliency[0, 0])


class Folding(NamedTuple):
    """How many of a graph's batch norms the runtime folds into its convolutions."""

    folded: int
    total: int


def build_session(backbone: bytes, domain: Domain, bank: Bank, threads: int = 0) -> Session:
    """A session of the serialised graph ``backbone`` with the ``bank`` of ``domain``.

    ``threads`` 0 takes every processor that this process may use. Raises `BankDoesNotFit`.
    """
    model = _with_bank(backbone, domain, bank)
    options = _options(threads or len(os.sched_getaffinity(0)))
    return Session(domain, onnxruntime.InferenceSession(model, options, providers=[CPU]))


def folded_batch_norms(backbone: bytes, domain: Domain, bank: Bank) -> Folding:
    """Count what the runtime folds, in the graph that it has optimised; raises `BankDoesNotFit`.

    It is counted before the last level of optimisation, which depends on the processor and turns the batch norms that are left
    into convolutions of their own: other nodes, but no less work.
    """
    model = _with_bank(backbone, domain, bank)
    total = _count_batch_norms(onnx.load_model_from_string(model))
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        options = _options(threads=1)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimised)
        onnxruntime.InferenceSession(model, options, providers=[CPU])
        return Folding(total - _count_batch_norms(onnx.load_model(optimised)), total)


def providers() -> tuple[str, ...]:
    """The execution providers that the installed ONNX Runtime has."""
    return tuple(onnxruntime.get_available_providers())


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    # Threads that wait by spinning gain nothing here, and take the processor from decoders and from other sessions' threads.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ERRORS_ONLY
    return options


def _with_bank(backbone: bytes, domain: Domain, bank: Bank) -> bytes:
    model = onnx.load_model_from_string(backbone)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    _check_batch_norms(model.graph, domain, bank)
    for name, values in bank.items():
        if name not in initializers:
            raise BankDoesNotFit(domain=domain, why=f"the graph has no initializer {name}")
        _check_entry(initializers[name], domain, values)
        initializers[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))
    content: bytes = model.SerializeToString()
    return content


def _check_batch_norms(graph: onnx.GraphProto, domain: Domain, bank: Bank) -> None:
    """A batch norm that does not read the bank would silently serve another domain's statistics."""
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            for name in node.input[1:]:
                if name not in bank:
                    raise BankDoesNotFit(domain=domain, why=f"the batch norm {node.name or node.output[0]} needs {name}")


def _check_entry(tensor: onnx.TensorProto, domain: Domain, values: NDArray[np.float32]) -> None:
    expected = tuple(tensor.dims)
    if values.shape != expected or values.dtype != np.float32 or tensor.data_type != onnx.TensorProto.FLOAT:
        found = f"{values.dtype} {values.shape}"
        raise BankDoesNotFit(domain=domain, why=f"{tensor.name} is {found}, the graph has float32 {expected}")


def _count_batch_norms(model: onnx.ModelProto) -> int:
    return sum(node.op_type == "BatchNormalization" for node in model.graph.node)
