"""A folder that files are put into: each finished one is handed over, and moved to ``done`` or, with its reason beside it, to ``refused``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dosremc_node.errors import OutcomesUnreadable

DONE, REFUSED = "done", "refused"
_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload")
_QUIET_SECONDS = 5.0
"""A file that has not changed for so long, and not since the last look, is finished."""

_Seen = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Handed:
    """A file that was taken in hand. ``reason`` is empty where it was read."""

    reason: str


class WatchedFolder:
    """Looks for finished files. What another process is quicker to move is left to it.

    A file's name is what the folder says that it is, and never more than that: no path is made from what stands in a file, links are
    not followed, and neither names nor contents are told.
    """

    def __init__(self, folder: Path, quiet_seconds: float = _QUIET_SECONDS) -> None:
        self._folder = folder
        self._quiet_seconds = quiet_seconds
        self._seen: _Seen = {}

    def look(self, read: Callable[[Path], object]) -> Iterator[Handed]:
        """Hand each finished file to ``read``; what it raises but `OutcomesUnreadable` leaves the file where it is, for the next look."""
        for target in (DONE, REFUSED):
            (self._folder / target).mkdir(parents=True, exist_ok=True)
        for file in self._finished():
            try:
                read(file)
            except OutcomesUnreadable as error:
                yield self._refuse(file, str(error))
            else:
                self._move(file, DONE)
                yield Handed("")

    def _finished(self) -> list[Path]:
        """Files that are as they were at the last look, the oldest first: a later one may correct an earlier one."""
        found: dict[str, tuple[int, int]] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False) and not entry.name.startswith(".") and not entry.name.endswith(_UNFINISHED):
                    status = entry.stat(follow_symlinks=False)
                    found[entry.name] = (status.st_mtime_ns, status.st_size)
        before, self._seen = self._seen, found
        quiet_since = time.time_ns() - int(self._quiet_seconds * 1e9)
        finished = sorted((state, name) for name, state in found.items() if before.get(name) == state and state[0] <= quiet_since)
        return [self._folder / name for _, name in finished]

    def _refuse(self, file: Path, reason: str) -> Handed:
        if moved := self._move(file, REFUSED):
            moved.with_name(f"{moved.name}.reason").write_text(f"{reason}\n", encoding="utf-8")
        return Handed(reason)

    def _move(self, file: Path, target: str) -> Path | None:
        """Move a file under a name that nothing there has; None where it is no longer here."""
        place, number = self._folder / target / file.name, 1
        while True:
            try:
                os.link(file, place, follow_symlinks=False)  # unlike a rename it replaces nothing
                break
            except FileExistsError:
                number += 1
                place = self._folder / target / f"{file.stem}.{number}{file.suffix}"
            except FileNotFoundError:
                return None
        file.unlink(missing_ok=True)
        return place
