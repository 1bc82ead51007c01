"""The PACS at the other end of the corridor: Orthanc where it is installed, an embedded stand-in where it is not.

Both have the same few methods (`Pacs`), keep what they receive in a folder, take free ports, and end with the process
that started them. They are peers for demonstrations and tests, not part of the node.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from dosremc_node.errors import PeerUnreachable
from dosremc_node.simulation.loopback import LOOPBACK, free_port
from dosremc_node.simulation.stand_in_pacs import StandInPacs

__all__ = ["Orthanc", "Pacs", "StandInPacs", "free_port", "orthanc_program", "start_pacs"]

PLUGINS = Path("/usr/share/orthanc/plugins")
START_SECONDS = 60.0

# The AE titles that DCMTK's and pynetdicom's command-line programs call themselves, and our simulated modality's.
USUAL_CALLERS = ("MODALITY", "DCMSEND", "STORESCU", "ECHOSCU", "FINDSCU", "MOVESCU", "GETSCU", "PYNETDICOM")


class Pacs(Protocol):
    """What demonstrations and tests ask of a PACS, whichever it is."""

    description: str
    ae_title: str
    host: str
    port: int

    def knows(self, ae_title: str, port: int) -> None:
        """Make an application entity of this machine known: it may connect, and receives what is moved to it."""

    def studies(self) -> list[str]:
        """The Study Instance UID of every study."""

    def instances(self) -> list[str]:
        """A handle for every instance, for `fetch`."""

    def fetch(self, instance: str) -> bytes:
        """The Part 10 file of an instance."""

    def start(self) -> Self:
        """Answer, again on the same port where it answered before."""

    def stop(self) -> None:
        """Answer no more. What it has stays."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def orthanc_program() -> str | None:
    """Where Orthanc is installed; None where it is not."""
    return shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def start_pacs(folder: Path) -> Pacs:
    """A PACS that keeps its data in ``folder``, not started yet: a context manager."""
    if orthanc_program():
        return Orthanc(folder)
    pacs = StandInPacs(folder)
    pacs.description += ", because Orthanc is not installed"
    return pacs


class Orthanc:
    """An Orthanc of its own: configuration, storage and log in ``folder``, killed by the kernel when its parent dies.

    Orthanc 1.10 has no option for the address of its listeners, which therefore are on every interface. It serves this
    machine only: application entities that it knows, on the loopback address (``DicomCheckModalityHost``), and HTTP
    from the loopback address (``RemoteAccessAllowed``).
    """

    def __init__(self, folder: Path, ae_title: str = "ORTHANC") -> None:
        self.folder, self.ae_title, self.host = folder, ae_title, LOOPBACK
        self.description = "Orthanc"
        self.port, self.http_port = free_port(), free_port()
        self._peers = dict.fromkeys(USUAL_CALLERS, 1)
        self._scripts: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start, or start again with the same ports and storage; raises `PeerUnreachable` where it does not answer."""
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "orthanc.json"
        configuration.write_text(json.dumps(self._configuration(), indent=1))
        with (self.folder / "orthanc.log").open("ab") as log:
            self._process = _start_bound_to_us([orthanc_program() or "Orthanc", str(configuration)], log)
        self._wait_until_it_answers()
        return self

    def stop(self) -> None:
        """End it as its administrator would. What it has stays in the folder."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def knows(self, ae_title: str, port: int) -> None:
        self._peers[ae_title] = port
        if self._process is not None:
            self._request("PUT", f"/modalities/{ae_title}", json.dumps([ae_title, LOOPBACK, port]).encode())

    def routes_everything_to(self, ae_title: str, port: int) -> None:
        """From its next start on it sends whatever it stores on to an application entity of this machine, as routers do."""
        self._peers[ae_title] = port
        script = self.folder / "route.lua"
        script.write_text(f"function OnStoredInstance(instance, tags, metadata)\n  SendToModality(instance, '{ae_title}')\nend\n")
        self._scripts = [str(script)]

    def studies(self) -> list[str]:
        return [study["MainDicomTags"]["StudyInstanceUID"] for study in self._json("/studies?expand")]

    def instances(self) -> list[str]:
        return [str(instance) for instance in self._json("/instances")]

    def fetch(self, instance: str) -> bytes:
        return self._request("GET", f"/instances/{instance}/file")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Nobody starts this one again, so nobody waits the seconds that an orderly end takes.
        if self._process is not None:
            self._process.kill()
        self.stop()

    def _configuration(self) -> dict[str, Any]:
        plugin = PLUGINS / "libOrthancDicomWeb.so"
        return {
            "Name": "PACS of the demonstration",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [str(plugin)] if plugin.exists() else [],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "WebDavEnabled": False,
            "DicomServerEnabled": True,
            "DicomAet": self.ae_title,
            "DicomPort": self.port,
            "DicomCheckCalledAet": False,
            "DicomCheckModalityHost": True,
            "DicomAlwaysAllowEcho": False,
            "DicomAlwaysAllowStore": False,
            "DicomModalities": {ae_title: [ae_title, LOOPBACK, port] for ae_title, port in self._peers.items()},
            "UnknownSopClassAccepted": True,
            "LuaScripts": self._scripts,
        }

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                self.description = f"Orthanc {self._json('/system')['Version']}"
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise PeerUnreachable(
            peer="Orthanc", host=self.host, port=self.port, ae_title=self.ae_title, why=f"it did not start; see {self.folder}/orthanc.log"
        )

    def _json(self, path: str) -> Any:  # noqa: ANN401 - whatever Orthanc answers
        return json.loads(self._request("GET", path))

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection(LOOPBACK, self.http_port, timeout=60)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            why = f"HTTP status {answer.status}"
            raise PeerUnreachable(peer="Orthanc", host=LOOPBACK, port=self.http_port, ae_title=self.ae_title, why=why)
        return content


def _start_bound_to_us(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a program that the kernel kills when we die, however we die (``setpriv`` is part of every Debian)."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
