"""A running node that reports to an Orthanc, watched from outside."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.node import PATIENCE_SECONDS, RunningNode

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.overview import study_counts
from dosremc_node.ledger.states import StudyState
from dosremc_node.simulation import send
from dosremc_node.simulation.pacs import Orthanc, orthanc_program

POLL_SECONDS = 0.05
LEDGER_POLL_SECONDS = 0.25
"""Watching takes processor time from what is watched: the PACS is asked often, the ledger seldom."""


@dataclass(frozen=True)
class Watched:
    """The node, its PACS, and its ledger to look at."""

    node: RunningNode
    orthanc: Orthanc
    ledger: Ledger

    def send(self, contents: Sequence[bytes | Path]) -> float:
        """Send by C-STORE; answers when the last response came (`time.perf_counter`). Every one must be Success."""
        reception, moments = self.node.settings.reception, []
        answers = send(
            contents,
            reception.host,
            reception.port,
            called=self.node.settings.node.ae_title,
            progress=lambda _: moments.append(time.perf_counter()),
        )
        if any(answer.status != 0 for answer in answers):
            raise RuntimeError("the node did not take every image")
        return moments[-1]

    def send_files(self, paths: Sequence[Path]) -> None:
        """Send with DCMTK, which takes next to nothing from the node's processors. Every answer must be Success."""
        if (dcmsend := shutil.which("dcmsend")) is None:
            raise RuntimeError("dcmsend is not installed (Debian package dcmtk)")
        reception = self.node.settings.reception
        called = ["-ll", "error", "-aec", self.node.settings.node.ae_title, reception.host, str(reception.port)]
        subprocess.run([dcmsend, *called, *map(str, paths)], check=True)

    def wait_for_reports(self, studies: int) -> float:
        """Wait until so many studies are done; answers when the last report was seen on the PACS."""
        deadline, seen, at = time.monotonic() + PATIENCE_SECONDS * max(1, studies), -1, 0.0
        ask_ledger_at = 0.0
        while True:
            there = len(self.orthanc.instances())
            if there != seen:
                seen, at = there, time.perf_counter()
            if time.monotonic() >= ask_ledger_at:
                states = study_counts(self.ledger)
                if states.get(StudyState.DONE, 0) >= studies:
                    return at if len(self.orthanc.instances()) == seen else time.perf_counter()
                if states.get(StudyState.PARKED) or time.monotonic() > deadline:
                    raise RuntimeError(f"a study fails or does not end, see {self.node.log}")
                ask_ledger_at = time.monotonic() + LEDGER_POLL_SECONDS
            time.sleep(POLL_SECONDS)

    def finished(self, state: StudyState) -> int:
        """How many studies are in a state."""
        return study_counts(self.ledger).get(state, 0)


@contextmanager
def watched_node(folder: Path, *options: str) -> Iterator[Watched]:
    """Start both, and end both."""
    if orthanc_program() is None:
        raise RuntimeError("Orthanc is not installed (Debian package orthanc)")
    with Orthanc(folder / "orthanc") as orthanc:
        node = RunningNode(folder / "node", [orthanc], *options)
        node.start()
        ledger = node.ledger
        try:
            yield Watched(node, orthanc, ledger)
        finally:
            ledger.close()
            node.stop()
