"""What goes into each batch norm of a live image: how far the scanners of today are from the statistics in their bank.

Where batch norm is folded its input can no longer be seen. So a sample of the images goes through a second session,
in which nothing is optimised and the inputs of the batch norms are outputs.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from dosremc_node.inference.graphs import Bank, batch_norms, with_bank
from dosremc_node.inference.providers import runtime_session
from dosremc_node.inference.sessions import INPUT, ON_PROCESSOR, as_batch_of_one, session_options
from dosremc_node.records import BatchNormMoments, Domain, LayerMoments, NetworkInput


def is_sampled(sha256: str, share: float) -> bool:
    """Whether an image belongs to the sample of that ``share`` (0..1): decided by its digest, so that every try decides the same."""
    return int(sha256[:8], 16) < share * 2**32


def measure_moments(backbone: bytes, domain: Domain, bank: Bank, network_input: NetworkInput, threads: int = 0) -> BatchNormMoments:
    """The moments before every batch norm of the unfolded graph with the ``bank`` of ``domain``; raises `BankDoesNotFit`.

    The session is made for this image and dropped: one that is kept would hold memory, and the next sampled image may come hours later.
    """
    model = with_bank(backbone, domain, bank)
    inputs = {node.input[1].rpartition(".")[0]: node.input[0] for node in batch_norms(model)}
    for tensor in set(inputs.values()) - {output.name for output in model.graph.output}:
        model.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    tensors = sorted(set(inputs.values()))
    values = dict(zip(tensors, _unfolded(model, threads).run(tensors, {INPUT: as_batch_of_one(network_input)}), strict=True))
    return BatchNormMoments({layer: _moments(values[tensor]) for layer, tensor in inputs.items()})


def _unfolded(model: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    options = session_options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = False
    return runtime_session(model.SerializeToString(), options, ON_PROCESSOR)


def _moments(maps: NDArray[np.float32]) -> LayerMoments:
    """Mean and variance of (n, channels, height, width) over all but the channels, in double precision; n are an image's crops."""
    channels = np.moveaxis(maps, 1, 0).reshape(maps.shape[1], -1).astype(np.float64)
    return LayerMoments(count=channels.shape[1], mean=tuple(channels.mean(axis=1).tolist()), variance=tuple(channels.var(axis=1).tolist()))
