"""An association's two threads wait until there is something to do, instead of asking a thousand times a second.

pynetdicom's threads sleep a millisecond and look again. With many associations they spend more time in waking up and waiting for the
interpreter's lock than in work, and each message is a few milliseconds late. Here the one that reads waits for the network or for
something to send, the one that serves for a message or for the end of the association.
"""

from __future__ import annotations

import os
import select
import ssl
import threading
from collections.abc import Callable
from functools import partial
from queue import Queue
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

_LOOK_AGAIN_SECONDS = 0.05
"""Timers, and what neither the network nor a queue tells, are looked after this often."""


def wait_for_the_network(association: Association) -> None:
    """Have the reading thread of an association that has not started yet wait for its peer, and for what is to be sent."""
    dul = association.dul
    bell = _Bell()
    dul.to_provider_queue.put = partial(_put_and_ring, bell, dul.to_provider_queue.put)  # type: ignore[method-assign]
    dul._is_transport_event = partial(_wait, dul, bell, dul._is_transport_event)  # type: ignore[method-assign] # noqa: SLF001
    dul.run = partial(_run, bell, dul.run)  # type: ignore[method-assign]


class Work:
    """Tells the serving thread that a queue has something for it."""

    def __init__(self, *queues: Queue[Any]) -> None:
        self._there = threading.Event()
        for queue in queues:
            queue.put = partial(self._put, queue.put)  # type: ignore[method-assign]

    def wait(self) -> None:
        """Return when something was put, or after a while."""
        self._there.wait(_LOOK_AGAIN_SECONDS)
        self._there.clear()

    def _put(self, put: Callable[[Any], None], item: object) -> None:
        put(item)
        self._there.set()


class _Bell:
    """Wakes up the thread that reads, which closes it when it ends."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), "r+b", buffering=0)
        self._lock = threading.Lock()

    def ring(self) -> None:
        # Never while it is closed: its descriptor might be another file's by the time that the kernel writes.
        with self._lock:
            if not self._file.closed:
                self._file.write((1).to_bytes(8, "little"))

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def is_closed(self) -> bool:
        return self._file.closed

    def fileno(self) -> int:
        return self._file.fileno()

    def quiet(self) -> None:
        """It has been heard."""
        self._file.read(8)


def _put_and_ring(bell: _Bell, put: Callable[[Any], None], item: object) -> None:
    put(item)
    bell.ring()


def _wait(dul: DULServiceProvider, bell: _Bell, is_transport_event: Callable[[], bool]) -> bool:
    connection = dul.socket and dul.socket.socket
    is_buffered = isinstance(connection, ssl.SSLSocket) and connection.pending()
    if connection and connection.fileno() >= 0 and not is_buffered and dul.event_queue.empty() and not bell.is_closed():
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        poll.register(bell, select.POLLIN)
        rung = any(descriptor == bell.fileno() for descriptor, _ in poll.poll(_LOOK_AGAIN_SECONDS * 1000))
        if rung:
            bell.quiet()
            if dul._process_recv_primitive():  # noqa: SLF001 - or it would be looked for a millisecond later
                return False
    return is_transport_event()


def _run(bell: _Bell, run: Callable[[], None]) -> None:
    try:
        run()
    finally:
        bell.close()
