"""Reading single values of a header that may lack anything or hold nonsense: the answer is then empty, never an error."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset

# What pydicom raises when it turns the bytes of a broken element into a value.
_BROKEN = (AttributeError, LookupError, TypeError, ValueError, OverflowError, NotImplementedError, struct.error)


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """All values of an element as text, stripped; empty where there are none."""
    try:
        value: Any = dataset.get(keyword)
        values = value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
        # A NUL is allowed at most as padding; inside a value it is nonsense that PostgreSQL would refuse.
        return tuple(str(each).replace("\0", "").strip() for each in values if each is not None)
    except _BROKEN:
        return ()


def text(dataset: Dataset, keyword: str) -> str:
    """The values of an element as one text, joined by a backslash as DICOM writes them; empty where there are none."""
    return "\\".join(texts(dataset, keyword))


def integer(dataset: Dataset, keyword: str, default: int = 0) -> int:
    found = number(dataset, keyword)
    return default if found is None else int(found)


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value of an element as a finite number; None where there is none."""
    try:
        found = float(texts(dataset, keyword)[0])
    except (ValueError, IndexError):
        return None
    return found if abs(found) < float("inf") else None


def items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    """The items of a sequence; empty where there are none."""
    try:
        return [item for item in dataset[keyword].value or () if isinstance(item, Dataset)]
    except _BROKEN:
        return []
