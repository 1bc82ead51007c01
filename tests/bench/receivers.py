"""Receivers to be compared: ours, DCMTK's and Orthanc, each started empty, on a port of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.node import RunningNode

from dosremc_node.ledger.overview import instance_counts
from dosremc_node.reception import Door
from dosremc_node.simulation.loopback import LOOPBACK, free_port
from dosremc_node.simulation.pacs import Orthanc, orthanc_program

DEBIAN_PROGRAMS = "/usr/bin:/usr/local/bin"
LARGEST_PDU = "131072"
START_SECONDS = 60.0


@dataclass(frozen=True)
class Listening:
    """A receiver that runs: where, its processes where they are ours, and how many objects it has."""

    port: int
    ae_title: str
    stored: Callable[[], int]
    processes: Sequence[int] = ()


Receiver = Callable[[Path], AbstractContextManager[Listening]]


def program(name: str) -> str:
    """One of DCMTK's programs; raises `RuntimeError` where it is not installed."""
    found = shutil.which(name, path=DEBIAN_PROGRAMS)
    if found is None:
        raise RuntimeError(f"{name} is not installed (Debian package dcmtk)")
    return found


@contextmanager
def ours(folder: Path) -> Iterator[Listening]:
    """As many receiving processes as the settings' default, with ledger, and without a worker: nobody assesses elsewhere either."""
    node = RunningNode(folder, [])
    door = Door.open(LOOPBACK, node.settings.reception.port)
    processes = [node.start_at(door) for _ in range(node.settings.reception.processes)]
    try:
        _wait_until(lambda: node.log.read_text().count("reception_started") == len(processes))
        yield Listening(door.listening.getsockname()[1], "DOSREMC", lambda: _rows(node), [process.pid for process in processes])
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        door.listening.close()
        door.places.close()


def _rows(node: RunningNode) -> int:
    ledger = node.ledger
    try:
        return sum(instance_counts(ledger).values())
    finally:
        ledger.close()


def storescp(*options: str) -> Receiver:
    """DCMTK's, a process for each association."""

    @contextmanager
    def start(folder: Path) -> Iterator[Listening]:
        port, out = free_port(), folder / "objects"
        out.mkdir(parents=True)
        command = [program("storescp"), "--fork", *options, "--max-pdu", LARGEST_PDU, "-aet", "STORESCP", "-od", str(out), str(port)]
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        try:
            _wait_until(lambda: _echoes(port, "STORESCP"))
            yield Listening(port, "STORESCP", lambda: sum(1 for _ in out.iterdir()))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()

    return start


@contextmanager
def orthanc(folder: Path) -> Iterator[Listening]:
    """Orthanc as it is installed."""
    if orthanc_program() is None:
        raise RuntimeError("Orthanc is not installed (Debian package orthanc)")
    with Orthanc(folder / "orthanc") as pacs:
        yield Listening(pacs.port, pacs.ae_title, lambda: len(pacs.instances()))


def _echoes(port: int, ae_title: str) -> bool:
    command = [program("echoscu"), "-aec", ae_title, LOOPBACK, str(port)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise RuntimeError("a receiver does not start")
        time.sleep(0.05)
