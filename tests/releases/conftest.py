"""A tiny backbone with one batch norm, two banks for it, and a release of both on a shelf."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dosremc_node.records import Domain, OperatingPoint, PreprocessingSpec
from dosremc_node.releases import ReleaseFacts, ReleaseShelf, write_release

Bank = dict[str, NDArray[np.float32]]
PARAMETERS = ("weight", "bias", "running_mean", "running_var")


@pytest.fixture
def backbone() -> bytes:
    """A serialised graph: convolution, batch norm ``bn`` of two channels, and a second convolution."""
    generator = np.random.default_rng(0)
    filters = {name: generator.normal(size=(2, 1, 3, 3)).astype(np.float32) for name in ("conv.weight", "head.weight")}
    initializers = filters | {f"bn.{name}": np.ones(2, np.float32) for name in PARAMETERS}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "conv.weight"], ["convolved"], pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", ["convolved", *(f"bn.{name}" for name in PARAMETERS)], ["normed"]),
            helper.make_node("Conv", ["normed", "head.weight"], ["saliency"], pads=[1, 1, 1, 1], group=2),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("saliency", TensorProto.FLOAT, [1, 2, 8, 8])],
        [numpy_helper.from_array(values, name) for name, values in initializers.items()],
    )
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()
    return content


@pytest.fixture
def banks() -> dict[Domain, Bank]:
    generator = np.random.default_rng(1)
    return {
        Domain(domain): {f"bn.{name}": generator.uniform(0.5, 2.0, size=2).astype(np.float32) for name in PARAMETERS}
        for domain in ("hologic", "siemens")
    }


@pytest.fixture
def facts() -> ReleaseFacts:
    return ReleaseFacts(
        release_id="first",
        preprocessing=PreprocessingSpec(height=8, width=8, grey_scale="presentation", crop="breast", normalisation="0..1"),
        operating_points={"hologic": OperatingPoint(threshold=0.25, slope=1.5, intercept=-0.1, target="sensitivity 0.9")},
        approver="the test",
        demonstration=True,
        statement="Made in a test.",
        metrics={"before": {"auc": 0.81}, "after": {"auc": 0.93}},
    )


@pytest.fixture
def shelf(tmp_path: Path, facts: ReleaseFacts, backbone: bytes, banks: dict[Domain, Bank]) -> ReleaseShelf:
    write_release(tmp_path / "shelf", facts, backbone, banks)
    return ReleaseShelf([tmp_path / "shelf"])
