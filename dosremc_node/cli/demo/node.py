"""The node of the demonstration: started as an administrator would, on free ports and in a folder of its own."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dosremc_node.configuration import load
from dosremc_node.errors import NodeProcessEnded
from dosremc_node.settings import Settings
from dosremc_node.simulation.pacs import Pacs, free_port

DESTINATION = "pacs"
QUIET_SECONDS = 3
START_SECONDS = 120.0
STOP_SECONDS = 30.0


class DemoNode:
    """A running node. ``settings`` are what it runs with, ``options`` the same as its commands take them; ``more`` are further ones."""

    def __init__(self, folder: Path, pacs: Pacs, more: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "node.log"
        self.options = [argument for option in (*_options(folder.resolve(), pacs), *more) for argument in ("--set", option)]
        self.settings: Settings = load(None, self.options[1::2])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready; raises `NodeProcessEnded`."""
        self._process = _start(self.options, self.log)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise NodeProcessEnded(ending=f"was not ready after {START_SECONDS:.0f} s", log=self.log)
            time.sleep(0.1)

    def stop(self) -> None:
        """End it as a service manager would."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raise `NodeProcessEnded` where it has ended."""
        code = self._process.poll() if self._process else None
        if code is not None:
            raise NodeProcessEnded(ending=f"ended with exit code {code}", log=self.log)

    def _is_ready(self) -> bool:
        probes = http.client.HTTPConnection(self.settings.monitoring.host, self.settings.monitoring.port, timeout=5)
        try:
            probes.request("GET", "/readyz")
            return probes.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            probes.close()


@contextmanager
def running_node(folder: Path, pacs: Pacs, more: Sequence[str] = ()) -> Iterator[DemoNode]:
    """A node that sends its reports to ``pacs``, for as long as the context lasts."""
    node = DemoNode(folder, pacs, more)
    try:
        node.start()
        yield node
    finally:
        node.stop()


def _options(folder: Path, pacs: Pacs) -> list[str]:
    destination = f'{{name = "{DESTINATION}", ae_title = "{pacs.ae_title}", host = "{pacs.host}", port = {pacs.port}, purpose = "test"}}'
    return [
        "node.name=demonstration",
        f"reception.port={free_port()}",
        f"storage.folder={folder / 'artifacts'}",
        f"database.url=sqlite:///{folder / 'ledger.sqlite'}",
        f"database.engine_url=sqlite:///{folder / 'engine.sqlite'}",
        f"studies.quiet_seconds={QUIET_SECONDS}",
        f"monitoring.port={free_port()}",
        f"destinations=[{destination}]",
    ]


def _start(options: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start it in a session of its own (Ctrl-C is ours to handle), ended by the kernel should we be killed.

    Whatever settings file this shell names is not for the demonstration.
    """
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "dosremc_node", "serve", *options]
    environment = {name: value for name, value in os.environ.items() if name != "DOSREMC_CONFIG"}
    with log.open("wb") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, env=environment)
