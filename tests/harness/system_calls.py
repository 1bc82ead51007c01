"""What strace saw: system calls of several threads, each with the places in the trace where it began and ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<name>\w+)\()(?P<rest>.*)")
_UNFINISHED = " <unfinished ...>"


@dataclass(frozen=True)
class SystemCall:
    """A call that succeeded: ``what`` are its arguments as strace writes them (with -y: paths of descriptors)."""

    thread: str
    name: str
    what: str
    began: int
    ended: int


def read_trace(path: Path) -> list[SystemCall]:
    """The calls of ``strace -f -y -o PATH`` in the order in which they ended."""
    return list(_calls(path.read_text().splitlines()))


def _calls(lines: list[str]) -> Iterator[SystemCall]:
    begun: dict[str, tuple[int, str]] = {}
    for place, line in enumerate(lines):
        if (found := _LINE.match(line)) is None:
            continue
        began, what = begun.pop(found["thread"], (place, "")) if found["resumed"] else (place, "")
        what += found["rest"]
        if what.endswith(_UNFINISHED):
            begun[found["thread"]] = began, what.removesuffix(_UNFINISHED)
        elif not re.search(r"= -1 E\w+", what):
            yield SystemCall(found["thread"], found["resumed"] or found["name"], what, began, place)
