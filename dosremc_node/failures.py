"""What may be said of an unexpected exception where patients' data must not show (promise 13)."""

from __future__ import annotations

import traceback
from pathlib import Path

from dosremc_node.errors import NodeError


def describe(error: BaseException) -> str:
    """A sentence for a row or a log line: the message of our own errors, and only the kind and place of any other.

    The text of a foreign exception can hold what it choked on, such as a patient's name.
    """
    if isinstance(error, NodeError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"unexpected {type(error).__name__}{place}"
