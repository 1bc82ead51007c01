"""What may be said of an unexpected exception where patients' data must not show (promise 13)."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

from dosremc_node.errors import NodeError


def places(trace: TracebackType | None) -> list[str]:
    """The way an exception took, as ``file:line``: what may be logged where its message may not."""
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(trace)]


def describe(error: BaseException) -> str:
    """A sentence for a row or a log line: the message of our own errors, and only the kind and place of any other.

    The text of a foreign exception can hold what it choked on, such as a patient's name.
    """
    if isinstance(error, NodeError):
        return str(error)
    if error.__traceback__ is None:
        return f"unexpected {type(error).__name__}"
    file, line = places(error.__traceback__)[-1].rsplit(":", 1)
    return f"unexpected {type(error).__name__} ({file}, line {line})"
