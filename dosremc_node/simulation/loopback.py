"""Where the peers of demonstrations and tests listen: this machine only, on ports that are free."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A loopback port that nobody listens on, below those that the kernel hands out, so that it stays free for a while."""
    while True:
        port = random.randint(15000, 32000)  # noqa: S311 - no secret
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) != 0:
                return port
