"""The node's processes: a receiver and a worker, each on its own, and the supervisor that keeps both alive.

A child ends with its parent, whatever ended that: it watches a pipe whose other end only the parent holds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType

import structlog

log = structlog.get_logger(__name__)

WRONG_SETTINGS = 2
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_STEADY_SECONDS = 60.0
_PATIENCE_SECONDS = 40.0


def stop_on_signal() -> threading.Event:
    """An event that SIGTERM or SIGINT sets, and, in a child of the supervisor, the end of its parent."""
    stop = threading.Event()

    def _stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    return stop


def end_with_parent(stop: threading.Event) -> None:
    """Set ``stop`` when standard input, the parent's pipe, is closed; end hard where that is not heeded."""

    def _watch() -> None:
        # Unbuffered: a daemon thread that waits inside a buffered stream brings the interpreter down at its end.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        stop.set()
        time.sleep(_PATIENCE_SECONDS)
        os._exit(1)

    threading.Thread(target=_watch, name="parent", daemon=True).start()


@dataclass
class _Child:
    role: str
    command: Sequence[str]
    pause: float = _FIRST_PAUSE_SECONDS
    process: subprocess.Popen[bytes] | None = None
    started: float = field(default=0.0)
    not_before: float = field(default=0.0)

    def start(self) -> None:
        self.process = subprocess.Popen([*self.command], stdin=subprocess.PIPE)
        self.started = time.monotonic()
        log.info("process_started", child=self.role, process=self.process.pid)

    def is_due(self) -> bool:
        return self.process is None and time.monotonic() >= self.not_before

    def collect(self) -> int | None:
        """The exit status of a process that has ended, once."""
        status = self.process.poll() if self.process else None
        if status is None:
            return None
        self.process = None
        steady = time.monotonic() - self.started > _STEADY_SECONDS
        self.pause = _FIRST_PAUSE_SECONDS if steady else min(self.pause * 2, _LONGEST_PAUSE_SECONDS)
        self.not_before = time.monotonic() + self.pause
        return status

    def end(self, deadline: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Starts one process for each role and starts it again, after a growing pause, when it goes down."""

    def __init__(self, roles: Sequence[str], arguments: Sequence[str]) -> None:
        command = [sys.executable, "-m", "dosremc_node", "serve", *arguments, "--child", "--role"]
        self._children = [_Child(role, [*command, role]) for role in roles]

    def why_not_ready(self) -> str | None:
        """Which process is down just now; None where all run."""
        down = [child.role for child in self._children if child.process is None]
        return f"down: {', '.join(down)}" if down else None

    def run(self, stop: threading.Event) -> int:
        """Keep the processes alive until ``stop`` is set; answers the exit status of the whole."""
        status = 0
        while not stop.is_set() and status != WRONG_SETTINGS:
            for child in self._children:
                if child.is_due():
                    child.start()
                ended = child.collect()
                if ended is not None:
                    log.error("process_ended", child=child.role, status=ended, again_in_seconds=child.pause)
                    status = ended
            stop.wait(0.2)
        self._end()
        return status if status == WRONG_SETTINGS else 0

    def _end(self) -> None:
        for child in self._children:
            if child.process is not None:
                child.process.terminate()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for child in self._children:
            child.end(deadline)
