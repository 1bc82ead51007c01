"""The digests of a release: what makes two of them the same, and what shows that one was damaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from pydantic import JsonValue

from dosremc_node.errors import BankDoesNotFit
from dosremc_node.records import Domain


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def canonical_sha256(value: JsonValue) -> str:
    """The digest of a JSON value, whatever the order of its keys."""
    return sha256_of(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())


def filters_sha256(backbone: bytes, bank_names: Collection[str]) -> str:
    """The digest of what never moves: every initializer of the graph ``backbone`` that is not named in ``bank_names``.

    It covers name, type, shape and values, sorted by name, so that a graph which is saved anew keeps its digest.
    """
    digest = hashlib.sha256()
    for name, values in sorted(_initializers(backbone).items()):
        if name not in bank_names:
            digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def check_banks_fit(backbone: bytes, banks: Mapping[Domain, Mapping[str, NDArray[np.float32]]]) -> None:
    """Raise `BankDoesNotFit` unless every bank replaces the same initializers of the graph, with the same shapes, in float32."""
    initializers = _initializers(backbone)
    names = {name for bank in banks.values() for name in bank}
    for domain, bank in banks.items():
        if missing := sorted(names - bank.keys()):
            raise BankDoesNotFit(domain=domain, why=f"it lacks {missing[0]}, which another bank has")
        for name, values in bank.items():
            _check_entry(domain, name, values, initializers.get(name))


def _check_entry(domain: Domain, name: str, values: NDArray[np.float32], replaced: NDArray[np.generic] | None) -> None:
    if replaced is None:
        raise BankDoesNotFit(domain=domain, why=f"the graph has no initializer {name}")
    if values.dtype != np.float32 or values.shape != replaced.shape:
        found, expected = f"{values.dtype} {values.shape}", f"float32 {replaced.shape}"
        raise BankDoesNotFit(domain=domain, why=f"{name} is {found}, the graph has {expected}")


def _initializers(backbone: bytes) -> dict[str, NDArray[np.generic]]:
    graph = onnx.load_model_from_string(backbone).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
