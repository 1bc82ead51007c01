"""A folder that files are put into: each finished one is handed over, and moved to ``done`` or, with its reason beside it, to ``refused``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dosremc_node.errors import OutcomesUnreadable

DONE, REFUSED = "done", "refused"
_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload")
_QUIET_SECONDS = 5.0
"""A file that has not changed for so long, and not since the last look, is finished."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """A file as it was at a look, and since when it is so: by this machine's clock, because the file's may be another's."""

    changed_at: int
    size: int
    since: float = field(compare=False)


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
        self._seen: Mapping[str, _Sight] = {}

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
        now, before, found = time.monotonic(), self._seen, dict[str, _Sight]()
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False) and not entry.name.startswith(".") and not entry.name.endswith(_UNFINISHED):
                    status = entry.stat(follow_symlinks=False)
                    sight = _Sight(status.st_mtime_ns, status.st_size, now)
                    found[entry.name] = before[entry.name] if before.get(entry.name) == sight else sight
        self._seen = found
        finished = (
            (sight.changed_at, name) for name, sight in found.items() if name in before and now - sight.since >= self._quiet_seconds
        )
        return [self._folder / name for _, name in sorted(finished) if before[name] == found[name]]

    def _refuse(self, file: Path, reason: str) -> Handed:
        if moved := self._move(file, REFUSED):
            moved.with_name(f"{moved.name}.reason").write_text(f"{reason}\n", encoding="utf-8")
        return Handed(reason)

    def _move(self, file: Path, target: str) -> Path | None:
        """Move a file under a name that nothing there has; None where it is no longer here."""
        place, number = self._folder / target / file.name, 1
        while place.exists():
            number += 1
            place = self._folder / target / f"{file.stem}.{number}{file.suffix}"
        try:
            return file.rename(place)
        except FileNotFoundError:
            return None
