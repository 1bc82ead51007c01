"""One ONNX Runtime session: a backbone with a bank written into it.

The bank goes into the graph's own initializers before the session is made, so that the runtime sees constants and folds
batch norm into the convolutions. `SessionOptions.add_initializer` looks like a shortcut and is none: constants have been
folded by the time it replaces them, and the scores are wrong without a word.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Protocol

import numpy as np
import onnx
import onnxruntime
import structlog
from numpy.typing import NDArray

from dosremc_node.errors import ScoreNotFinite
from dosremc_node.inference.graphs import Bank, batch_norms, with_bank
from dosremc_node.inference.half_precision import probes, to_half_precision
from dosremc_node.inference.providers import runtime_session
from dosremc_node.records import Domain, NetworkInput, NetworkOutput
from dosremc_node.settings import Provider

ERRORS_ONLY = 3
INPUT, OUTPUTS = "image", ("logit", "saliency")
ON_PROCESSOR = (Provider.CPU,)

Image = NDArray[np.float32]

log = structlog.get_logger(__name__)


class _Runner(Protocol):
    @property
    def shape(self) -> Sequence[int]: ...
    def run(self, image: Image) -> list[NDArray[np.float32]]: ...


@dataclass(frozen=True, slots=True)
class Session:
    """A network ready to score. Safe across threads."""

    domain: Domain
    runner: _Runner

    def score(self, network_input: NetworkInput) -> NetworkOutput:
        """Score one image; the same pixels give the same bits. Raises `ScoreNotFinite`."""
        logit, saliency = self.runner.run(as_batch_of_one(network_input))
        if not (np.isfinite(logit).all() and np.isfinite(saliency).all()):
            raise ScoreNotFinite(domain=self.domain)
        return NetworkOutput(logit=float(logit.item()), saliency=saliency[0, 0])


class OnProcessor:
    """Runs where the image already is."""

    def __init__(self, runtime: onnxruntime.InferenceSession) -> None:
        self._runtime = runtime
        self.shape: Sequence[int] = runtime.get_inputs()[0].shape

    def run(self, image: Image) -> list[NDArray[np.float32]]:
        outputs: list[NDArray[np.float32]] = self._runtime.run(OUTPUTS, {INPUT: image})
        return outputs


class OnDevice:
    """Runs with input and outputs in the memory of ``device``, bound once, so that nothing is allocated while a study waits.

    The graph's shapes are fixed, and so are the buffers: one image at a time.
    """

    def __init__(self, runtime: onnxruntime.InferenceSession, device: str) -> None:
        self._runtime, self._turn, self._binding = runtime, Lock(), runtime.io_binding()
        self.shape: Sequence[int] = runtime.get_inputs()[0].shape
        shapes = {each.name: each.shape for each in (*runtime.get_inputs(), *runtime.get_outputs())}
        self._image, *self._outputs = (
            onnxruntime.OrtValue.ortvalue_from_shape_and_type(shapes[name], np.float32, device, 0) for name in (INPUT, *OUTPUTS)
        )
        self._binding.bind_ortvalue_input(INPUT, self._image)
        for name, value in zip(OUTPUTS, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, value)

    def run(self, image: Image) -> list[NDArray[np.float32]]:
        with self._turn:
            self._image.update_inplace(image)
            self._runtime.run_with_iobinding(self._binding)
            return [np.array(each.numpy()) for each in self._outputs]


class Folding(NamedTuple):
    """How many of a graph's batch norms the runtime folds into its convolutions."""

    folded: int
    total: int


def build_session(
    backbone: bytes,
    domain: Domain,
    bank: Bank,
    threads: int = 0,
    providers: Sequence[Provider] = ON_PROCESSOR,
    *,
    tf32: bool = False,
    half_precision_tolerance: float | None = None,
) -> Session:
    """A session of the serialised graph ``backbone`` with the ``bank`` of ``domain``, warmed up by one image.

    ``threads`` 0 takes every processor that this process may use. ``tf32`` lets a GPU round to 10 bits of mantissa. With a tolerance
    it computes in half precision where that moves no logit of the probes by more. Raises `BankDoesNotFit`, `ProviderNotThere`.
    """
    model = with_bank(backbone, domain, bank).SerializeToString()

    def runner(content: bytes) -> _Runner:
        return _runner(runtime_session(content, session_options(threads), providers, tf32=tf32), providers[0])

    exact = runner(model)
    if half_precision_tolerance is None:
        return Session(domain, exact)
    half = runner(to_half_precision(model))
    difference = _largest_difference(exact, half)
    if difference <= half_precision_tolerance:
        return Session(domain, half)
    log.warning("half_precision_refused", domain=domain, difference=difference, tolerance=half_precision_tolerance)
    return Session(domain, exact)


def _runner(runtime: onnxruntime.InferenceSession, provider: Provider) -> OnProcessor | OnDevice:
    runner = OnProcessor(runtime) if provider is Provider.CPU else OnDevice(runtime, "cuda")
    # The first image is slow: a GPU chooses its kernels, and memory is taken.
    runner.run(np.zeros(runner.shape, np.float32))
    return runner


def _largest_difference(one: _Runner, other: _Runner) -> float:
    """The largest difference of a probe's logits; infinite where one of them is no number."""
    _, _, height, width = one.shape
    differences = [abs(float(one.run(image)[0].item()) - float(other.run(image)[0].item())) for image in probes(height, width)]
    return max(difference if np.isfinite(difference) else np.inf for difference in differences)


def folded_batch_norms(backbone: bytes, domain: Domain, bank: Bank) -> Folding:
    """Count what the runtime folds, in the graph that it has optimised; raises `BankDoesNotFit`.

    It is counted before the last level of optimisation, which depends on the processor and turns the batch norms that are left
    into convolutions of their own: other nodes, but no less work.
    """
    model = with_bank(backbone, domain, bank)
    total = len(batch_norms(model))
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        options = session_options(threads=1)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimised)
        runtime_session(model.SerializeToString(), options, ON_PROCESSOR)
        return Folding(total - len(batch_norms(onnx.load_model(optimised))), total)


def as_batch_of_one(network_input: NetworkInput) -> Image:
    """The pixels as the graphs take them: float32, (1, 1, height, width)."""
    return np.ascontiguousarray(network_input.pixels, np.float32)[np.newaxis, np.newaxis]


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """How every session runs: on ``threads`` threads (0: every processor that this process may use), the same bits each time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    # Threads that wait by spinning gain nothing here, and take the processor from decoders and from other sessions' threads.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ERRORS_ONLY
    return options
