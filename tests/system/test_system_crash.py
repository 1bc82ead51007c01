"""Receivers and worker are killed at random moments under load, and in the end everything is counted (promises 1, 3 and 4).

Each run depends on a seed, which names the test: ``pytest -k 'kills and 7'`` repeats it.
"""

from __future__ import annotations

import gc
import random
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest
import structlog
from harness.node import RunningNode, wait_until
from harness.studies import copy_of_study
from pydicom import dcmread
from pynetdicom.dsutils import split_dataset
from sqlalchemy import select

from dosremc_node.artifacts import ArtifactKind, content_key, open_store
from dosremc_node.errors import NodeError
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.overview import list_studies
from dosremc_node.ledger.states import StudyState
from dosremc_node.ledger.tables import InstanceRow
from dosremc_node.reception import Door
from dosremc_node.records import Laterality
from dosremc_node.simulation import VENDORS, Order, Sent, send, simulate_exam
from dosremc_node.simulation.stand_in_pacs import StandInPacs

pytestmark = pytest.mark.system

log = structlog.get_logger()

UP = {"receiver": "reception_started", "receiver-2": "reception_started", "worker": "worker_started"}
"""What each process logs once it is up."""
UNFINISHED_AT_MOST = 3
LONGEST_PAUSE_SECONDS = 2.0
KILLED_WHILE_IT_STARTS = 0.15
"""How often a kill comes so early that it hits a start."""


class Restarted:
    """A node's worker and two receivers at one door, which are killed and started again at once."""

    def __init__(self, node: RunningNode) -> None:
        self._node = node
        self._door = Door.open(node.settings.reception.host, node.settings.reception.port)
        self._seen = dict.fromkeys(UP, 0)
        self._processes = {name: self._start(name) for name in UP}

    def wait_until_up(self, name: str) -> None:
        """Wait until its present process has started, or one that does the same."""
        wait_until(lambda: self._starts(name) > self._seen[name], f"the {name} is up, see {self._node.log}")

    def kill(self, name: str) -> None:
        """Kill -9, wherever it is just now, and start it again."""
        self._end(self._processes[name])
        self._seen[name] = self._starts(name)
        self._processes[name] = self._start(name)

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        return self._node.start_role("worker") if name == "worker" else self._node.start_at(self._door)

    def _starts(self, name: str) -> int:
        return self._node.log.read_text().count(f'"{UP[name]}"')

    def end(self) -> None:
        for process in self._processes.values():
            self._end(process)
        self._door.close()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()


class Sender:
    """Sends copies of one study, each object until it is answered with Success, for as long as the context lasts."""

    def __init__(self, node: RunningNode, contents: Sequence[bytes], name: str) -> None:
        self._node, self._contents, self._name = node, contents, name
        self.sent, self.acknowledged, self.tries = 0, dict[str, bytes](), Counter[str]()
        self._end = Event()

    @contextmanager
    def sending(self) -> Iterator[None]:
        thread = Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def _run(self) -> None:
        for number in count():
            while not self._end.is_set() and self._unfinished() >= UNFINISHED_AT_MOST:
                time.sleep(0.05)
            if self._end.is_set():
                return
            self.sent += 1
            self._send({uid_of(each): each for each in copy_of_study(self._contents, f"{self._name}.{number}")})

    def _unfinished(self) -> int:
        with suppress(NodeError):
            return self.sent - len(list_studies(Ledger(self._node.settings.database.url), [StudyState.DONE]))
        return UNFINISHED_AT_MOST

    def _send(self, contents: dict[str, bytes]) -> None:
        """As a modality does: what was not answered with Success is sent again."""
        reception = self._node.settings.reception

        def note(answer: Sent) -> None:
            self.tries[answer.sop_instance_uid] += 1
            if answer.status == 0:
                self.acknowledged[answer.sop_instance_uid] = contents[answer.sop_instance_uid]

        while missing := [content for uid, content in contents.items() if uid not in self.acknowledged]:
            # Refused, cut off, or nobody listens: the receiver was killed.
            with suppress(NodeError, OSError, RuntimeError):
                send(missing, reception.host, reception.port, called=self._node.settings.node.ae_title, progress=note)
            time.sleep(0.05)


def uid_of(content: bytes) -> str:
    return str(dcmread(BytesIO(content), stop_before_pixels=True).SOPInstanceUID)


def data_set(content: bytes, folder: Path) -> bytes:
    """The bytes that C-STORE carries: all that follows the group 0002."""
    path = folder / "object"
    path.write_bytes(content)
    return content[split_dataset(path)[1] :]


def assert_every_acknowledged_instance_is_there(node: RunningNode, acknowledged: dict[str, bytes], folder: Path) -> None:
    """With the digest that the ledger names, and with the bytes that were sent."""
    store = open_store(node.settings.storage)
    with node.ledger.reading() as session:
        rows = dict(session.execute(select(InstanceRow.sop_instance_uid, InstanceRow.sha256)).all())
    assert acknowledged.keys() <= rows.keys()
    for uid, sent in acknowledged.items():
        found = store.read(content_key(ArtifactKind.IMAGE, rows[uid]))
        assert data_set(found, folder) == data_set(sent, folder)
    assert {key.rpartition("/")[2] for key in store.keys(ArtifactKind.IMAGE)} == set(rows.values())


def assert_one_set_of_documents_for_each_revision(node: RunningNode, pacs: StandInPacs) -> None:
    """Each revision has one summary, and the PACS has exactly the documents that the ledger knows."""
    rows = node.reports()
    assert set(Counter((row["study_id"], row["revision"]) for row in rows if row["kind"] == "summary").values()) == {1}
    assert {(study["study_id"], number + 1) for study in node.studies() for number in range(study["revision"])} == {
        (row["study_id"], row["revision"]) for row in rows
    }
    on_pacs = Counter(str(dcmread(BytesIO(pacs.fetch(each)), stop_before_pixels=True).SOPInstanceUID) for each in pacs.instances())
    assert on_pacs == Counter({row["sop_instance_uid"]: 1 for row in rows})


def killed_at_random(seed: int, kills: int, node: RunningNode, pacs: StandInPacs, folder: Path) -> None:
    """Kill under load, let it finish, count."""
    log.info("begun", seed=seed, kills=kills)
    chance = random.Random(seed)
    contents = [image.content for image in simulate_exam(Order(1, VENDORS["B"], Laterality.LEFT, binning=8.0)).images]
    sender, restarted = Sender(node, contents, f"WOMAN{seed}"), Restarted(node)
    try:
        with sender.sending():
            for _ in range(kills):
                name = chance.choice(sorted(UP))
                if chance.random() > KILLED_WHILE_IT_STARTS:
                    restarted.wait_until_up(name)
                time.sleep(chance.uniform(0.0, LONGEST_PAUSE_SECONDS))  # not to wait for something, but to hit it at some moment
                restarted.kill(name)
        taken = node.log.read_text().count("stock_taken")
        restarted.kill("worker")
        wait_until(lambda: len(list_studies(node.ledger, [StudyState.DONE])) == sender.sent, f"all studies are done, see {node.log}", 600)
        wait_until(lambda: node.log.read_text().count("stock_taken") > taken, "stock was taken")
        assert_every_acknowledged_instance_is_there(node, sender.acknowledged, folder)
        assert_one_set_of_documents_for_each_revision(node, pacs)
    finally:
        restarted.end()
        # pynetdicom leaves the sockets of connections that were refused or cut off to the collector, which complains of them.
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()
    tried = sum(sender.tries.values())
    log.info("counted", seed=seed, kills=kills, studies=sender.sent, tried=tried, acknowledged_and_found=len(sender.acknowledged), wrong=0)


@pytest.fixture
def crashing_node(tmp_path: Path, stand_in_pacs: StandInPacs) -> RunningNode:
    """A node that is not started yet, and that gives up no study because it was killed so often."""
    return RunningNode(tmp_path / "node", [stand_in_pacs], "worker.attempts=1000", "studies.quiet_seconds=1", "worker.decoding_processes=1")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [0])
def test_some_kills_lose_nothing(seed: int, crashing_node: RunningNode, stand_in_pacs: StandInPacs, tmp_path: Path) -> None:
    """Ten kill -9 while it receives, assembles, assesses and delivers: what was acknowledged is there, every report once."""
    killed_at_random(seed, 10, crashing_node, stand_in_pacs, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(1, 11))
def test_two_hundred_kills_lose_nothing(seed: int, crashing_node: RunningNode, stand_in_pacs: StandInPacs, tmp_path: Path) -> None:
    """Twenty for each of ten seeds."""
    killed_at_random(seed, 20, crashing_node, stand_in_pacs, tmp_path)
