"""Several receiving processes at one door: one limit, one port, and whoever goes down takes nobody with it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.node import RunningNode, wait_until
from pydicom.dataset import Dataset
from pynetdicom.association import Association

pytestmark = pytest.mark.system

PROCESSES, PLACES = 3, 9


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    limits = [f"reception.processes={PROCESSES}", f"reception.max_associations={PLACES}", "reception.keep_free_megabytes=0"]
    running = RunningNode(tmp_path / "node", [], *limits)
    running.start()
    yield running
    running.end()


def receivers(node: RunningNode) -> list[int]:
    """The receiving processes that were started, in that order."""
    return [int(found) for found in re.findall(r'"child": "receiver[-\d]*", "process": (\d+)', node.log.read_text())]


def connections(process: int, port: int) -> int:
    """How many established connections of this port a process holds."""
    listing = subprocess.run(["ss", "-Htnp", "state", "established", f"sport = :{port}"], check=True, capture_output=True, text=True)
    return listing.stdout.count(f"pid={process},")


def test_the_limit_holds_over_all_processes_and_one_that_is_killed_leaves_the_others(
    node: RunningNode, connect: Callable[..., Association], mammogram: Callable[..., Dataset]
) -> None:
    """Every process takes its share; together they admit as many as one may; after kill -9 of one the rest go on, and its places are free."""
    port = node.settings.reception.port
    opened = [connect(port) for _ in range(PLACES)]
    assert all(association.is_established for association in opened)
    shares = {process: connections(process, port) for process in receivers(node)}
    assert len(shares) == PROCESSES
    assert sum(shares.values()) == PLACES
    assert min(shares.values()) >= 1
    assert connect(port).is_rejected

    victim = receivers(node)[0]
    os.kill(victim, signal.SIGKILL)
    lost = shares[victim]
    wait_until(lambda: sum(association.is_aborted for association in opened) == lost, "its own associations have ended")
    for association in opened:
        if not association.is_aborted:
            assert association.send_c_store(mammogram()).Status == 0x0000
    again = [connect(port) for _ in range(lost)]
    assert all(association.is_established for association in again)
    assert connect(port).is_rejected
    wait_until(lambda: len(receivers(node)) == PROCESSES + 1, "it is started again")


def test_what_is_open_may_end_when_the_node_stops(
    node: RunningNode, connect: Callable[..., Association], mammogram: Callable[..., Dataset]
) -> None:
    """Told to stop, it takes no new caller, answers what the open associations still send, and ends with them, status 0."""
    port = node.settings.reception.port
    association = connect(port)
    assert association.send_c_store(mammogram()).Status == 0x0000
    ended: list[int | None] = []
    stopping = threading.Thread(target=lambda: ended.append(node.stop()))
    stopping.start()
    wait_until(lambda: not answers(port), "nobody is let in any more")
    assert association.send_c_store(mammogram()).Status == 0x0000
    association.release()
    stopping.join(timeout=60)
    assert ended == [0]
    assert '"aborted": 0' in node.log.read_text()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
