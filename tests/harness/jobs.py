"""Jobs for the imaging processes that go wrong as a decoder can. A process imports them by name, so they live in a module."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from pathlib import Path


def crash() -> bytes:
    """Read where nothing is, as a decoder does that believes a length in a broken stream."""
    return ctypes.string_at(0)


def hang() -> bytes:
    """Never return, and never let another Python thread run."""
    return bytes(ctypes.PyDLL(None).sleep(3600))


def eat_memory() -> bytes:
    """Take more and more."""
    eaten = []
    while True:
        eaten.append(bytearray(1 << 26))


def end() -> bytes:
    """Leave the process, which a Rust library that panics comes close to."""
    os._exit(9)


def fail() -> bytes:
    """Raise what no decoder should, with a name in its words."""
    raise ValueError("KANARIENVOGEL^PERSON")


def crash_once(trace: Path) -> bytes:
    """Be killed from outside, and find nothing wrong at the second try."""
    if not trace.exists():
        trace.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return b"done"


def meet(mine: Path, other: Path) -> bytes:
    """Return when another process is here at the same time."""
    mine.touch()
    while not other.exists():
        time.sleep(0.005)
    return b"met"


def identity() -> bytes:
    """Who does the job."""
    return str(os.getpid()).encode()


def largest_core_dump() -> bytes:
    """How much of its memory would be written to the disk by a crash."""
    return str(resource.getrlimit(resource.RLIMIT_CORE)[0]).encode()
