"""Where the peers of demonstrations and tests listen: this machine only, on ports that are free."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
PORTS = range(15000, 32000)
"""Which ports are looked at: below those that the kernel hands out, so that a free one stays free for a while."""

# Not the module's own generator: whoever seeds that one would get the same ports again, and so would a second process.
_chance = random.SystemRandom()


def free_port() -> int:
    """One of `PORTS` that nobody listens on."""
    while True:
        port = _chance.choice(PORTS)
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) != 0:
                return port
