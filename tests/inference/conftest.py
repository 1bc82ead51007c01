"""A small network as an ONNX graph, banks for it, and the same network written in numpy as an independent peer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from dosremc_node.records import BankId, Domain, InputGeometry, NetworkInput, OperatingPoint, PreprocessingSpec, Release

Array = NDArray[np.float32]
HEIGHT, WIDTH, CHANNELS = 24, 16, 8
PARAMETERS = ("weight", "bias", "running_mean", "running_var")
BATCH_NORMS = ("bn1", "bn2", "bn3")
EPSILON = 1e-5


def _filters() -> dict[str, Array]:
    generator = np.random.default_rng(0)
    shapes = {"conv1.weight": (CHANNELS, 1, 3, 3), "conv2.weight": (CHANNELS, CHANNELS, 3, 3), "head.weight": (1, CHANNELS, 1, 1)}
    return {name: generator.normal(scale=0.5, size=shape).astype(np.float32) for name, shape in shapes.items()}


def make_bank(seed: int) -> dict[str, Array]:
    """A bank far from the neutral one that the graph is exported with."""
    generator = np.random.default_rng(seed)
    bank = {f"{norm}.{name}": generator.uniform(0.3, 2.0, CHANNELS).astype(np.float32) for norm in BATCH_NORMS for name in PARAMETERS}
    return bank | {
        "fc.weight": generator.normal(size=(1, CHANNELS)).astype(np.float32),
        "fc.bias": generator.normal(size=1).astype(np.float32),
    }


def _batch_norm(tensor: str, norm: str) -> NodeProto:
    return helper.make_node("BatchNormalization", [tensor, *(f"{norm}.{name}" for name in PARAMETERS)], [norm], name=norm, epsilon=EPSILON)


def _graph() -> bytes:
    """Two convolutions with batch norm behind them, and a third batch norm behind a ReLU, which nothing can fold."""
    neutral = {name: np.ones_like(values) for name, values in make_bank(0).items()}
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight"], ["c1"], pads=[1, 1, 1, 1]),
        _batch_norm("c1", "bn1"),
        helper.make_node("Relu", ["bn1"], ["r1"]),
        helper.make_node("Conv", ["r1", "conv2.weight"], ["c2"], pads=[1, 1, 1, 1]),
        _batch_norm("c2", "bn2"),
        helper.make_node("Relu", ["bn2"], ["r2"]),
        _batch_norm("r2", "bn3"),
        helper.make_node("Conv", ["bn3", "head.weight"], ["h"]),
        helper.make_node("Sigmoid", ["h"], ["saliency"]),
        helper.make_node("ReduceMean", ["bn3"], ["pooled"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["pooled", "fc.weight", "fc.bias"], ["score"], transB=1),
        helper.make_node("Flatten", ["score"], ["flat"], axis=0),
        helper.make_node("Squeeze", ["flat", "first"], ["logit"]),
    ]
    initializers = [numpy_helper.from_array(values, name) for name, values in (_filters() | neutral).items()]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, HEIGHT, WIDTH])],
        [
            helper.make_tensor_value_info("logit", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("saliency", TensorProto.FLOAT, [1, 1, HEIGHT, WIDTH]),
        ],
        [*initializers, numpy_helper.from_array(np.array([0], np.int64), "first")],
    )
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    return content


def numpy_network(bank: Mapping[str, Array], pixels: Array) -> tuple[float, Array]:
    """The same network, in double precision: logit and saliency."""
    filters = _filters()

    def convolve(maps: NDArray[np.float64], weight: Array) -> NDArray[np.float64]:
        edge = weight.shape[2] // 2
        windows = sliding_window_view(np.pad(maps, ((0, 0), (edge, edge), (edge, edge))), weight.shape[2:], axis=(1, 2))
        result: NDArray[np.float64] = np.einsum("chwij,ocij->ohw", windows, weight.astype(np.float64))
        return result

    def norm(maps: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        weight, bias, mean, variance = (bank[f"{name}.{each}"].astype(np.float64)[:, None, None] for each in PARAMETERS)
        return (maps - mean) / np.sqrt(variance + EPSILON) * weight + bias

    maps = np.maximum(norm(convolve(pixels[None].astype(np.float64), filters["conv1.weight"]), "bn1"), 0)
    maps = norm(np.maximum(norm(convolve(maps, filters["conv2.weight"]), "bn2"), 0), "bn3")
    saliency = 1 / (1 + np.exp(-convolve(maps, filters["head.weight"])[0]))
    return float(bank["fc.weight"][0].astype(np.float64) @ maps.mean(axis=(1, 2)) + bank["fc.bias"][0]), saliency.astype(np.float32)


@dataclass
class SmallRelease:
    """Weights in memory, which count how often they were read."""

    release: Release
    graph: bytes
    banks: dict[Domain, dict[str, Array]]
    read: list[str] = field(default_factory=list)

    def backbone(self) -> bytes:
        return self.graph

    def bank(self, domain: Domain) -> dict[str, Array]:
        self.read.append(domain)
        return self.banks[domain]


@pytest.fixture(scope="session")
def backbone() -> bytes:
    return _graph()


@pytest.fixture
def small_release(backbone: bytes) -> SmallRelease:
    """Four domains on one backbone."""
    domains = [Domain(name) for name in ("fuji", "ge", "hologic", "siemens")]
    release = Release(
        release_id="small", parent=None, filters_sha256="0" * 64, backbone_sha256="1" * 64,
        preprocessing=PreprocessingSpec(HEIGHT, WIDTH, "presentation", "breast", "0..1"), preprocessing_sha256="2" * 64,
        banks={domain: BankId(domain, f"{number:064x}") for number, domain in enumerate(domains)},
        operating_points={domain: OperatingPoint(threshold=0.5) for domain in domains},
        device_uid="2.25.1", created=datetime(2026, 1, 1, tzinfo=UTC), approver="the test", demonstration=True, statement="Made in a test.",
    )  # fmt: skip
    return SmallRelease(release, backbone, {domain: make_bank(seed) for seed, domain in enumerate(domains, start=1)})


def make_input(seed: int) -> NetworkInput:
    pixels = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH)).astype(np.float32)
    return NetworkInput(pixels, np.ones((HEIGHT, WIDTH), np.bool_), InputGeometry(2, 0, 0, 0, 2, 0), 2 * HEIGHT, 2 * WIDTH)


@pytest.fixture
def inputs() -> list[NetworkInput]:
    return [make_input(seed) for seed in range(6)]


@pytest.fixture
def peer() -> object:
    """`numpy_network`."""
    return numpy_network
