"""A clock for the processes of a node, which can be set while they run (libfaketime); what measures durations is left alone."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

# libfaketime answers what time.sleep asks for, to be woken at a moment of the monotonic clock, with EINVAL.
SLEEP = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""
LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def faketime_library() -> Path | None:
    """Where Debian's package faketime has its library."""
    return next((path for pattern in LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))), None)


class Clock:
    """The wall clock that processes with its ``environment`` see, in a time zone of its own: a number of seconds ahead of the true one."""

    def __init__(self, library: Path, folder: Path, zone: str = "UTC0") -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SLEEP)
        self._file = folder / "ahead"
        self.environment = {
            "TZ": zone,
            "PYTHONPATH": os.pathsep.join((str(folder), *filter(None, [os.environ.get("PYTHONPATH")]))),
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set_ahead(0)

    def set_ahead(self, seconds: int) -> None:
        """Set it; negative is behind."""
        self.ahead = seconds
        whole = self._file.with_suffix(".new")
        whole.write_text(f"{seconds:+d}\n")
        whole.replace(self._file)

    def set_to(self, moment: datetime) -> None:
        self.set_ahead(round((moment - datetime.now(UTC)).total_seconds()))

    def now(self) -> datetime:
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + self.ahead, UTC)
