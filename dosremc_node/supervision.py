"""The node's processes: receivers, a worker and others, each on its own, and the supervisor that keeps them alive.

A child ends with its parent, whatever ended that: its standard input is a line whose other end only the parent holds. On the
same line it says again and again that it still works (`beat`); one that is silent for too long hangs, and is killed and
started again. To systemd the supervisor says the same of itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType

import structlog

log = structlog.get_logger(__name__)

WRONG_SETTINGS = 2
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_STEADY_SECONDS = 60.0
_PATIENCE_SECONDS = 40.0
_SECONDS_TO_START = 900.0  # TensorRT may time its kernels for minutes before the first study
_BEAT_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1  # prctl(2)
_has_parent = threading.Event()


def stop_on_signal() -> threading.Event:
    """An event that SIGTERM or SIGINT sets, and, in a child of the supervisor, the end of its parent."""
    stop = threading.Event()

    def _stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    return stop


def end_with_parent(stop: threading.Event) -> None:
    """Set ``stop`` when standard input, the parent's line, is closed; end hard where that is not heeded."""

    def _watch() -> None:
        # Unbuffered: a daemon thread that waits inside a buffered stream brings the interpreter down at its end.
        with suppress(ConnectionResetError):  # the parent was killed before it had heard everything
            while os.read(sys.stdin.fileno(), 4096):
                pass
        stop.set()
        time.sleep(_PATIENCE_SECONDS)
        os._exit(1)

    # One that was stopped would notice nothing: it is woken up when its parent goes.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)
    _has_parent.set()
    threading.Thread(target=_watch, name="parent", daemon=True).start()


def beat() -> None:
    """Tell the supervisor that this process still works; call it from the loop that does the work. Without one it does nothing."""
    if _has_parent.is_set():
        with socket.socket(fileno=os.dup(sys.stdin.fileno())) as line, suppress(OSError):  # of a parent that is gone, or not listening now
            line.send(b".", socket.MSG_DONTWAIT)


def wait_and_beat(stop: threading.Event, is_at_work: Callable[[], bool]) -> int:
    """Beat until ``stop`` is set, for processes whose work is done in other threads; answers the exit status, 1 where those ended by themselves."""
    while is_at_work():
        beat()
        if stop.wait(_BEAT_SECONDS):
            return 0
    log.error("no_longer_at_work")
    return 1


def tell_systemd(state: str) -> None:
    """Say ``READY=1``, ``WATCHDOG=1`` or ``STOPPING=1`` to the service manager, where one listens (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line, suppress(OSError):
            line.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


@dataclass
class Child:
    """A process of the node: its name, the arguments of ``serve`` that make it, and the open descriptors that it inherits.

    Without one that is not ``essential`` the node serves on: it is started again all the same.
    """

    name: str
    arguments: Sequence[str]
    descriptors: Sequence[int] = ()
    essential: bool = True
    pause: float = _FIRST_PAUSE_SECONDS
    process: subprocess.Popen[bytes] | None = None
    started: float = field(default=0.0)
    not_before: float = field(default=0.0)
    line: socket.socket | None = None
    heard: float | None = None
    starts: int = 0

    def start(self) -> None:
        self.line, theirs = socket.socketpair()
        self.line.setblocking(False)
        command = [sys.executable, "-m", "dosremc_node", "serve", "--child", *self.arguments]
        with theirs:
            self.process = subprocess.Popen(command, stdin=theirs.fileno(), pass_fds=self.descriptors)
        self.started, self.heard = time.monotonic(), None
        self.starts += 1
        log.info("process_started", child=self.name, process=self.process.pid)

    def is_due(self) -> bool:
        return self.process is None and time.monotonic() >= self.not_before

    def listen(self) -> None:
        """Hear whether it has said that it works."""
        with suppress(BlockingIOError, ConnectionError):
            if self.line and self.line.recv(4096):
                self.heard = time.monotonic()

    def hangs(self, hung_seconds: float) -> bool:
        if self.process is None:
            return False
        if self.heard is None:
            return time.monotonic() - self.started > _SECONDS_TO_START
        return time.monotonic() - self.heard > hung_seconds

    def collect(self) -> int | None:
        """The exit status of a process that has ended, once."""
        status = self.process.poll() if self.process else None
        if status is None:
            return None
        self.process = None
        if self.line:
            self.line.close()
            self.line = None
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
    """Starts each child and starts it again, after a growing pause, when it goes down or hangs."""

    def __init__(self, children: Sequence[Child], hung_seconds: float, before_end: Callable[[], None]) -> None:
        """``before_end`` is called when the node is to end, before its children are told so."""
        self._children = children
        self._hung_seconds = hung_seconds
        self._before_end = before_end

    def why_not_ready(self) -> str | None:
        """Which essential process is down or has not begun to work yet; None where all do."""
        down = [child.name for child in self._children if child.essential and (child.process is None or child.heard is None)]
        return f"down or starting: {', '.join(down)}" if down else None

    def starts(self) -> Mapping[str, int]:
        """How often each child was started."""
        return {child.name: child.starts for child in self._children}

    def run(self, stop: threading.Event) -> int:
        """Keep the processes alive until ``stop`` is set; answers the exit status of the whole."""
        status = 0
        while not stop.is_set() and status != WRONG_SETTINGS:
            for child in self._children:
                status = self._look_after(child, status)
            tell_systemd("WATCHDOG=1" if self.why_not_ready() else "READY=1\nWATCHDOG=1")
            stop.wait(0.2)
        tell_systemd("STOPPING=1")
        self._end()
        return status if status == WRONG_SETTINGS else 0

    def _look_after(self, child: Child, status: int) -> int:
        """Start it, end it where it hangs, or notice its end; answers the exit status of the last process that has ended."""
        if child.is_due():
            child.start()
        child.listen()
        if child.process and child.hangs(self._hung_seconds):
            log.error("process_hangs", child=child.name, process=child.process.pid)
            child.process.kill()
            child.process.wait()
        ended = child.collect()
        if ended is None:
            return status
        log.error("process_ended", child=child.name, status=ended, again_in_seconds=child.pause)
        return ended if child.essential else status

    def _end(self) -> None:
        self._before_end()
        for child in self._children:
            if child.process is not None:
                child.process.terminate()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for child in self._children:
            child.end(deadline)
