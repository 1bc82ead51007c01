"""Files that are known by what made them: a recipe's digest is the name, so nothing stale is ever read, and a file is whole or absent."""

from __future__ import annotations

import ast
import hashlib
import os
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.generic]]


def recipe_digest(*parts: object) -> str:
    """A digest of values whose repr says everything about them."""
    return hashlib.sha256(repr((*parts, np.__version__, torch.__version__)).encode()).hexdigest()[:20]


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as one file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=path.suffix, delete=False) as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """What `write_arrays` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@lru_cache
def code_digest(*modules: str) -> str:
    """A digest of what these modules do: of their syntax, without comments, docstrings and layout. A package stands for its own files
    and those below it.
    """
    digest = hashlib.sha256()
    for path in sorted({file for module in modules for file in _files(module)}):
        digest.update(f"{path.name} {ast.dump(_bare(ast.parse(path.read_text(encoding='utf-8'))))}\n".encode())
    return digest.hexdigest()[:20]


def _files(module: str) -> list[Path]:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    origin = Path(spec.origin)
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


def _bare(tree: ast.Module) -> ast.Module:
    """The tree without its docstrings and without the names that `__all__` gives."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _says_only(each)]  # type: ignore[attr-defined]
    return tree


def _says_only(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
