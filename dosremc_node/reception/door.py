"""What all receiving processes of a node share: the listening socket, and the table of those who are inside.

Whoever starts them opens the door once and hands it on. So a port is taken by one node only, a connection that nobody has accepted yet
survives the process that goes down, and every limit holds over all processes.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Self

from dosremc_node.reception.places import Places

_WAITING_AT_MOST = 128


@dataclass(frozen=True, slots=True)
class Door:
    """The listening socket and the table."""

    listening: socket.socket
    places: Places

    @classmethod
    def open(cls, host: str, port: int) -> Self:
        """Listen; raises `OSError` where the address is not this machine's, or taken."""
        return cls(_listen(host, port), Places())

    @classmethod
    def inherited(cls, descriptors: str) -> Self:
        """What a parent process has handed on, as `descriptors` says there."""
        number, places = map(int, descriptors.split(","))
        listening = socket.socket(fileno=number)
        listening.setblocking(False)
        return cls(listening, Places(places))

    @property
    def descriptors(self) -> tuple[int, int]:
        """The descriptors to hand on to a child process, which keep their numbers there."""
        return self.listening.fileno(), self.places.descriptor

    def close(self) -> None:
        """Accept no more in this process, and leave the table."""
        self.listening.close()
        self.places.close()


def _listen(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listening = socket.create_server((str(address[0]), port), family=family, backlog=_WAITING_AT_MOST)
    # Several processes see the same connection coming: for all but one there is none when they take it.
    listening.setblocking(False)
    return listening
