"""A process for work that may crash, hang or eat memory: one job at a time, and a new process where one has come to harm.

Decoders are C and Rust libraries that are fed with bytes from outside. What goes wrong in them must cost one image, not the node.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import NoReturn

import cv2
import structlog

from dosremc_node.errors import (
    DecoderFailed,
    DecoderUnavailable,
    NodeError,
    NodeStopping,
    NotAMammogram,
    NotDicom,
    UndecodableImage,
    UnknownPreprocessing,
)
from dosremc_node.failures import describe

Job = Callable[..., bytes]
"""A function of a module, so that the process can import it; its answer is bytes, because nothing is unpickled that a decoder's process says."""

_FORKS = multiprocessing.get_context("forkserver")
_OUT_OF_MEMORY = 77
_DONE, _FAILED = b"+", b"-"
_LARGEST_ANSWER = 1 << 28
_SECONDS_TO_START, _SECONDS_TO_END = 60.0, 5.0
_MEGABYTE = 1 << 20
_MEGABYTES_KEPT = 512
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h>
_KINDS: dict[str, type[NodeError]] = {
    kind.__name__: kind for kind in (DecoderFailed, NotAMammogram, NotDicom, UndecodableImage, UnknownPreprocessing)
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may take: ``seconds`` on the clock, and ``megabytes`` of memory with all that its process holds."""

    seconds: float
    megabytes: int


class JobProcess:
    """A process that does one job after the other. It is forked from a server that has no threads and has everything imported."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._ended = False
        self._ready = False
        self._connection: Connection
        self._process: ForkServerProcess

    def launch(self) -> None:
        """Start the process without waiting for it; raises `NodeStopping` after `end`."""
        if self._ended:
            raise NodeStopping
        _FORKS.set_forkserver_preload(["dosremc_node.imaging"])
        ours, theirs = _FORKS.Pipe()
        process = _FORKS.Process(target=_serve, args=(theirs, self._limits), name="imaging", daemon=True)
        process.start()
        theirs.close()
        self._connection, self._process, self._ready = ours, process, False

    def await_ready(self) -> None:
        """Wait until the process takes jobs, so that no job pays for its start; raises `DecoderUnavailable`."""
        if self._ready:
            return
        with suppress(EOFError, OSError):
            self._ready = self._connection.poll(_SECONDS_TO_START) and self._connection.recv_bytes() == b""
        if not self._ready:
            raise DecoderUnavailable(why=self._replace())

    def run(self, job: Job, *arguments: object) -> bytes:
        """The answer of ``job``. Raises its `NodeError`, and `DecoderFailed` where it fails in any other way or goes beyond a limit."""
        try:
            return self._answer(job, arguments)
        except (EOFError, OSError):
            # It may have suffered from the image before, or been killed from outside: only what harms a new process as well is to blame.
            log.warning("decoding_process_replaced", reason=self._replace())
        try:
            return self._answer(job, arguments)
        except (EOFError, OSError):
            raise DecoderFailed(why=self._replace()) from None

    def end(self) -> None:
        """End the process, whatever it does; who waits for its answer gets `NodeStopping`."""
        self._ended = True
        self._process.kill()
        self._process.join(_SECONDS_TO_END)

    def _answer(self, job: Job, arguments: tuple[object, ...]) -> bytes:
        self.await_ready()
        self._connection.send((job, arguments))
        if not self._connection.poll(self._limits.seconds):
            self._replace()
            raise DecoderFailed(why=f"it takes longer than {self._limits.seconds:g} s")
        answer = self._connection.recv_bytes(_LARGEST_ANSWER)
        if not answer.startswith(_DONE):
            raise _failure(answer)
        return answer[len(_DONE) :]

    def _replace(self) -> str:
        """Put a new process in the place of this one; answers how this one has ended."""
        self._process.kill()  # what is ending already keeps its own status
        self._process.join(_SECONDS_TO_END)
        how = self._how_it_ended()
        self._connection.close()
        self.launch()
        return how

    def _how_it_ended(self) -> str:
        status = self._process.exitcode
        if status == _OUT_OF_MEMORY:
            return f"it needs more than {self._limits.megabytes} MB"
        if status is not None and status < 0:
            return f"it dies of {signal.Signals(-status).name}"
        return f"it ends with status {status}"


def _failure(answer: bytes) -> NodeError:
    failure = json.loads(answer[len(_FAILED) :])
    return _KINDS[failure["kind"]](**failure["facts"])


# --- Inside the process -----------------------------------------------------------------------------------------------


def _serve(connection: Connection, limits: Limits) -> None:
    """Do jobs until the other end of the connection is closed, which the end of the parent does too."""
    _confine(limits)
    connection.send_bytes(b"")
    while True:
        try:
            job, arguments = connection.recv()
            # The parent ends what takes too long. Where the parent itself is gone, the kernel does.
            signal.setitimer(signal.ITIMER_REAL, 2 * limits.seconds)
            connection.send_bytes(_outcome(job, arguments))
            signal.setitimer(signal.ITIMER_REAL, 0)
        except (EOFError, OSError):
            return


def _confine(limits: Limits) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Control-C reaches all processes of a terminal: the parent decides
    bytes_at_most = limits.megabytes * _MEGABYTE
    # Not the address space, of which libraries and threads reserve far more than they use.
    resource.setrlimit(resource.RLIMIT_DATA, (bytes_at_most, bytes_at_most))
    # No patient's image in a core dump, and none of the header's values in what a library prints.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    cv2.setNumThreads(1)  # several such processes run side by side
    _keep_memory()


def _keep_memory() -> None:
    """Have the C library keep what an image took for the next one, up to `_MEGABYTES_KEPT`.

    It would give every array of an image's size back to the kernel, which clears each page anew: a tenth of the time that JPEG 2000
    takes, and a third of what faster decoders take. Other C libraries than glibc are left as they are.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, _MEGABYTES_KEPT * _MEGABYTE)


def _outcome(job: Job, arguments: tuple[object, ...]) -> bytes:
    try:
        return _DONE + job(*arguments)
    except MemoryError:
        _end_out_of_memory()
    except NodeError as error:
        return _told(error)
    # The named boundary: a broken image may make a library raise anything, and costs itself only.
    except Exception as error:  # noqa: BLE001
        return _told(DecoderFailed(why=describe(error)))


def _end_out_of_memory() -> NoReturn:
    # At once, for whatever is done in an orderly way might need memory.
    os._exit(_OUT_OF_MEMORY)


def _told(error: NodeError) -> bytes:
    return _FAILED + json.dumps({"kind": type(error).__name__, "facts": error.facts}, default=str).encode()
