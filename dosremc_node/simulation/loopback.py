"""Where the peers of demonstrations and tests listen: this machine only, on ports that are free."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
# Not the module's own generator: whoever seeds that one would get the same ports again, and so would a second process.
_chance = random.SystemRandom()


def free_port() -> int:
    """A loopback port that nobody listens on, below those that the kernel hands out, so that it stays free for a while."""
    while True:
        port = _chance.randint(15000, 32000)
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) != 0:
                return port
