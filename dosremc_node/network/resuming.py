"""How an interrupted training goes on: checkpoints, written whole or not at all, and read only by the training that they belong to."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dosremc_node.errors import CheckpointOfAnother


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training after some epochs. ``best_state`` is that of the epoch that validated best, None where nothing was validated."""

    whose: str
    epochs: int
    state: dict[str, Any]
    optimiser: dict[str, Any]
    schedule: dict[str, Any]
    best_figure: float
    best_epochs: int
    best_state: dict[str, Any] | None


def fingerprint(plan: object, seed: int, count: int, trained: nn.Module) -> str:
    """Says which training it is: its plan, seed and number of images, and the names and shapes of what is trained."""
    shapes = sorted((name, tuple(tensor.shape)) for name, tensor in trained.state_dict().items())
    return hashlib.sha256(repr((plan, seed, count, shapes)).encode()).hexdigest()


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint at ``path``; whoever is killed while writing leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        torch.save({field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}, file)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


def read_checkpoint(path: Path | None, whose: str) -> Checkpoint | None:
    """The checkpoint at ``path``, None where there is none; raises `CheckpointOfAnother` unless it is ``whose`` training's."""
    if path is None or not path.exists():
        return None
    found = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    if found.whose != whose:
        raise CheckpointOfAnother(path=path, found=found.whose[:12], expected=whose[:12])
    return found
