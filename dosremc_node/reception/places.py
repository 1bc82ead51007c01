"""What all receiving processes of a node count together: open associations, and how fast a peer is.

It is a table in shared memory. Who is in a place holds a lock of the kernel's on it (an open file description lock, fcntl(2)), which ends
with its process, however that ends: a place is never lost, and nobody has to clean up. Rates are kept by the generic cell rate
algorithm (ITU-T I.371): of each peer only the moment at which it will have caught up.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

MOST_PLACES, _MOST_PROCESSES, _RATES = 1000, 64, 1024
_NAME = 8
_RATE = struct.Struct(f"{_NAME}sd")
_LOAD = struct.Struct("I")
_RATES_BEGIN = MOST_PLACES * _NAME
_LOADS_BEGIN = _RATES_BEGIN + _RATES * _RATE.size
_SIZE = _LOADS_BEGIN + _MOST_PROCESSES * _LOAD.size
_PROBES = 16

# Where the locks are; none of these bytes is ever read.
_TABLE, _PLACES, _LISTENING = 0, 1, 1 + MOST_PLACES
_FLOCK = "hhqqi"  # struct flock: type, whence, start, length, process
_FREE = bytes(_NAME)
_BURST_SECONDS = 1.0


class Full(Exception):
    """There is no place left."""


class Places:
    """The table. ``descriptor`` is that of its memory, which child processes inherit."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _new_memory() if descriptor is None else descriptor
        # Locks belong to an open file: this process needs one of its own.
        self._file = os.open(f"/proc/self/fd/{self.descriptor}", os.O_RDWR | os.O_CLOEXEC)
        self._memory = mmap.mmap(self._file, _SIZE)
        self._threads = threading.Lock()
        self._mine: set[int] = set()
        self._seat: int | None = None

    def take(self, peer: str, in_total: int, per_peer: int) -> int:
        """A place for an association of ``peer``; raises `Full` where so many are taken, by all or by this peer."""
        name = _name(peer)
        with self._locked():
            taken = {number: found for number in range(MOST_PLACES) if (found := self._occupant(number)) is not None}
            if len(taken) >= in_total or sum(found == name for found in taken.values()) >= per_peer:
                raise Full
            place = next(number for number in range(MOST_PLACES) if number not in taken)
            self._lock(_PLACES + place)
            self._mine.add(place)
            self._memory[place * _NAME : (place + 1) * _NAME] = name
        return place

    def give_back(self, place: int) -> None:
        """The association in this place has ended."""
        with self._locked():
            self._memory[place * _NAME : (place + 1) * _NAME] = _FREE
            self._mine.discard(place)
            self._unlock(_PLACES + place)

    def is_too_fast(self, what: str, peer: str, per_second: float) -> bool:
        """Whether one more would be more than ``per_second`` of this peer; if not, it is counted."""
        return self._wait(what, peer, per_second, even_if_too_fast=False) > 0

    def seconds_to_wait(self, what: str, peer: str, per_second: float) -> float:
        """Count one more, which is there already; how long to wait so that they are no more than ``per_second``."""
        return self._wait(what, peer, per_second, even_if_too_fast=True)

    def listen(self) -> None:
        """Say that this process takes in associations, for as long as it lives."""
        with self._locked():
            self._seat = next(seat for seat in range(_MOST_PROCESSES) if not self._is_locked(_LISTENING + seat))
            self._lock(_LISTENING + self._seat)
        self.tell_load(0)

    def tell_load(self, connections: int) -> None:
        """Say how many connections this process has."""
        if self._seat is not None:
            _LOAD.pack_into(self._memory, _LOADS_BEGIN + self._seat * _LOAD.size, connections)

    def is_someone_less_busy(self, connections: int) -> bool:
        """Whether another process that takes in associations has fewer connections than this many."""
        seats = [seat for seat in range(_MOST_PROCESSES) if seat != self._seat and self._load(seat) < connections]
        return any(self._is_locked(_LISTENING + seat) for seat in seats)

    def close(self) -> None:
        """Leave all places, and the table."""
        self._memory.close()
        os.close(self._file)
        os.close(self.descriptor)

    def _load(self, seat: int) -> int:
        return int(_LOAD.unpack_from(self._memory, _LOADS_BEGIN + seat * _LOAD.size)[0])

    def _occupant(self, place: int) -> bytes | None:
        name = self._memory[place * _NAME : (place + 1) * _NAME]
        if name == _FREE:
            return None
        # The name of who was killed stays behind; its lock does not.
        return name if place in self._mine or self._is_locked(_PLACES + place) else None

    def _wait(self, what: str, peer: str, per_second: float, *, even_if_too_fast: bool) -> float:
        name, now, interval = _name(f"{what} {peer}"), time.monotonic(), 1 / per_second
        with self._locked():
            offset, caught_up = self._rate_of(name, now)
            caught_up = max(caught_up, now) + interval
            wait = max(0.0, caught_up - now - max(_BURST_SECONDS, interval))
            if not wait or even_if_too_fast:
                _RATE.pack_into(self._memory, offset, name, caught_up)
        return wait

    def _rate_of(self, name: bytes, now: float) -> tuple[int, float]:
        """Where the rate of that name stands, or may stand, and when it will have caught up."""
        first = int.from_bytes(name) % _RATES
        offsets = [_RATES_BEGIN + (first + step) % _RATES * _RATE.size for step in range(_PROBES)]
        found = [(offset, *_RATE.unpack_from(self._memory, offset)) for offset in offsets]
        for offset, there, caught_up in found:
            if there == name:
                return offset, caught_up
        # Nobody's, or that of one who has caught up longest ago.
        return min(found, key=lambda rate: rate[2])[0], now

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:
            self._lock(_TABLE)
            try:
                yield
            finally:
                self._unlock(_TABLE)

    def _lock(self, number: int) -> None:
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLKW, _flock(fcntl.F_WRLCK, number))

    def _unlock(self, number: int) -> None:
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, number))

    def _is_locked(self, number: int) -> bool:
        """By another process than this one."""
        answer = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, number))
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _new_memory() -> int:
    descriptor = os.memfd_create("places", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, _SIZE)
    return descriptor


def _flock(kind: int, number: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, number, 1, 0)


def _name(peer: str) -> bytes:
    return blake2b(peer.encode(), digest_size=_NAME).digest()
