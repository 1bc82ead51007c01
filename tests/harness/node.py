"""A node as an administrator runs it: processes of its own, on free ports, in a folder of its own, watched from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

from dosremc_node.cli.common import plain
from dosremc_node.configuration import load
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.overview import assessments_of, find_study, list_reports, list_studies
from dosremc_node.reception import Door
from dosremc_node.records import DEFAULT_DOCUMENTS, Assessment, StudyId
from dosremc_node.settings import Settings
from dosremc_node.simulation import Sent, SimulatedExam, send
from dosremc_node.simulation.pacs import Pacs, free_port

PATIENCE_SECONDS = 120.0


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition; fail with ``what`` where it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s: {what}"
        time.sleep(0.05)


class RunningNode:
    """A node that is started, killed and asked from the command line only."""

    def __init__(self, folder: Path, pacs: Sequence[Pacs], *options: str, documents: Sequence[str] = DEFAULT_DOCUMENTS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.log = folder, folder / "node.log"
        destinations = ", ".join(
            f'{{name = "pacs{place or ""}", ae_title = "{each.ae_title}", host = "{each.host}", port = {each.port}, purpose = "test", documents = {json.dumps(documents)}, retry_seconds = 0.5, retry_seconds_at_most = 1.0}}'
            for place, each in enumerate(pacs)
        )
        self.options = [
            "node.name=system-test",
            f"reception.port={free_port()}",
            f"monitoring.port={free_port()}",
            "monitoring.log_level=DEBUG",
            "monitoring.log_format=json",
            f"storage.folder={folder}/artifacts",
            f"database.url=sqlite:///{folder}/ledger.sqlite",
            f"database.engine_url=sqlite:///{folder}/engine.sqlite",
            "studies.quiet_seconds=2",
            f"destinations=[{destinations}]",
            *options,
        ]
        self.settings: Settings = load(None, self.options)
        for each in pacs:
            each.knows(self.settings.node.ae_title, self.settings.reception.port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ledger(self) -> Ledger:
        """Its ledger, to look at."""
        return Ledger(self.settings.database.url)

    @property
    def process_group(self) -> int:
        """The group that all its processes belong to."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("ab") as log:
            # Killed by the kernel should the test run be killed; in a group of its own, so that all of it can be.
            command = ["setpriv", "--pdeathsig", "KILL", *self._command("serve")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wait_until(lambda: self.probe("/readyz") == "ready\n", f"the node is ready, see {self.log}")

    @contextmanager
    def role(self, role: str) -> Iterator[None]:
        """One role only, as a process of its own, while the context lasts."""
        process = self.start_role(role)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)

    def start_at(self, door: Door) -> subprocess.Popen[bytes]:
        """A receiver beside others at a door, which whoever starts it ends."""
        descriptors = door.descriptors
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            *self._command("serve", "--role", "receiver", "--door", ",".join(map(str, descriptors))),
        ]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=descriptors)

    def start_role(self, role: str, *wrapper: str, **environment: str) -> subprocess.Popen[bytes]:
        """One role only, as a process of its own, which whoever starts it ends; ``wrapper`` is a program that runs it."""
        with self.log.open("ab") as log:
            command = ["setpriv", "--pdeathsig", "KILL", *wrapper, *self._command("serve", "--role", role)]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment})

    def probe(self, path: str) -> str | None:
        """What the probes answer, None where nobody answers."""
        url = f"http://127.0.0.1:{self.settings.monitoring.port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    def kill(self) -> None:
        """Kill every process of it at once, without a word (kill -9)."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int | None:
        """End it as a service manager would; answers its exit status."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(timeout=60)

    def end(self) -> None:
        """See that nothing of it runs any more; its orderly end takes seconds."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of its commands, such as ``status``."""
        return subprocess.run(self._command(*arguments), check=False, capture_output=True, text=True, timeout=120)

    def studies(self) -> list[dict[str, Any]]:
        """What ``status --all --json`` says of the studies: looked up here, because starting a command takes longer than many a wait."""
        return self._looked_up(list_studies)

    def reports(self) -> list[dict[str, Any]]:
        """What ``reports --json`` says, looked up likewise."""
        return self._looked_up(list_reports)

    def _looked_up(self, look: Callable[[Ledger], Sequence[object]]) -> list[dict[str, Any]]:
        # Anew each time: a test may remove the database beneath the node.
        with closing(self.ledger) as ledger:
            return cast("list[dict[str, Any]]", plain(look(ledger)))

    def assessment(self, study_id: StudyId) -> Assessment:
        """What its ledger says of the latest revision of a study."""
        return assessments_of(self.ledger, study_id)[max(assessments_of(self.ledger, study_id))]

    def study_of(self, study_instance_uid: str) -> StudyId:
        """The ledger's name of a study."""
        found = find_study(self.ledger, study_instance_uid)
        assert found is not None
        return found

    def artifacts(self, kind: str) -> dict[str, bytes]:
        """What it keeps of a kind, by key."""
        folder = self.settings.storage.folder / kind
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def _command(self, command: str, *arguments: str) -> list[str]:
        options = [word for option in self.options for word in ("--set", option)]
        return [sys.executable, "-m", "dosremc_node", command, *arguments, *options]


def files(exam: SimulatedExam, folder: Path) -> list[Path]:
    """The exam's files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{image.name}.dcm" for image in exam.images]
    for path, image in zip(paths, exam.images, strict=True):
        path.write_bytes(image.content)
    return paths


def send_to(node: RunningNode, contents: Sequence[bytes | Path]) -> list[Sent]:
    """Send with the simulated modality; every object must be answered with Success."""
    reception = node.settings.reception
    answers = send(contents, reception.host, reception.port, called=node.settings.node.ae_title)
    assert [answer.status for answer in answers] == [0] * len(contents)
    return answers
