"""Reading single values of a header that may lack anything or hold nonsense: the answer is then empty, never an error."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.tag import Tag

# What pydicom raises when it turns the bytes of a broken element into a value.
_BROKEN = (AttributeError, LookupError, TypeError, ValueError, OverflowError, NotImplementedError, struct.error)
_LONGEST = 1 << 16


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """All values of an element as text, stripped; empty where there are none."""
    if _is_endless(dataset, keyword):
        return ()
    try:
        value: Any = dataset.get(keyword)
        values = value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
        # A NUL is allowed at most as padding; inside a value it is nonsense that PostgreSQL would refuse.
        return tuple(str(each).replace("\0", "").strip() for each in values if each is not None)
    except _BROKEN:
        return ()


def _is_endless(dataset: Dataset, keyword: str) -> bool:
    """Whether the element's bytes, not yet turned into a value, are more than any text that we read has: millions of values take minutes."""
    tag = Tag(keyword)
    raw = dataset.get_item(tag).value if tag in dataset else None
    return isinstance(raw, bytes) and len(raw) > _LONGEST


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
