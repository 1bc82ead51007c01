"""MLLP: where a message begins and ends in a stream of bytes (HL7 Transport Specification, MLLP Release 1).

A block is VT, the message, FS, CR. Senders leave the CR out, put line feeds between blocks, or begin anew in the midst of a block after
they were interrupted: none of these costs a message.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from dosremc_node.errors import MessageTooLong

START, END = b"\x0b", b"\x1c\x0d"
_CHUNK = 65536
_HEAD = 4096


def framed(message: bytes) -> bytes:
    """The block of a message."""
    return START + message + END


class Blocks:
    """The messages that come over a connection.

    A peer may be silent for ``idle_seconds`` between two messages; a message that has begun is whole ``message_seconds`` later, or the
    connection is of no use any more.
    """

    def __init__(self, connection: socket.socket, at_most: int, idle_seconds: float, message_seconds: float) -> None:
        self._connection = connection
        self._at_most = at_most
        self._idle_seconds = idle_seconds
        self._message_seconds = message_seconds
        self._buffer = bytearray()

    def __iter__(self) -> Iterator[bytes]:
        """Raises `MessageTooLong`, which holds the beginning of the message, and `OSError` (`TimeoutError`) where the connection fails."""
        while self._begin():
            content = self._rest()
            if content is None:
                return
            yield content

    def _begin(self) -> bool:
        """Read up to the start of a block; what stands before it is no message. Answers False at the end of the stream."""
        deadline = time.monotonic() + self._idle_seconds
        noise = 0
        while (start := self._buffer.find(START)) < 0:
            noise += len(self._buffer)
            self._buffer.clear()
            if noise > self._at_most or not self._read(deadline):
                return False
        del self._buffer[: start + 1]
        return True

    def _rest(self) -> bytes | None:
        """The message up to the end of its block; None where the stream ends first."""
        deadline = time.monotonic() + self._message_seconds
        searched = 0
        while (end := self._buffer.find(END[:1], searched)) < 0:
            searched = len(self._buffer)
            if searched > self._at_most:
                raise MessageTooLong(megabytes=self._at_most >> 20, beginning=bytes(self._buffer[:_HEAD]))
            if not self._read(deadline):
                return None
        content = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return content.rpartition(START)[2]

    def _read(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        chunk = self._connection.recv(_CHUNK)
        self._buffer += chunk
        return bool(chunk)
