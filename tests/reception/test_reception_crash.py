"""Whatever was acknowledged is there: after kill -9, and in the order in which the kernel was asked to keep it."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Self

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dosremc_node.artifacts import ArtifactKind, content_key, open_store
from dosremc_node.settings import StorageSettings

# A receiver whose ledger is one synced line for each object.
NODE = """
import os, sys
from pathlib import Path
from dosremc_node.artifacts import open_store
from dosremc_node.reception import Receiver
from dosremc_node.settings import ReceptionSettings, StorageSettings

folder = Path(sys.argv[1])
ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def accept(received):
    os.write(ledger, f"{received.sop_instance_uid} {received.sha256}\\n".encode())
    os.fsync(ledger)

settings = ReceptionSettings(keep_free_megabytes=0).model_copy(update={"port": 0})
receiver = Receiver(settings, "DOSREMC", open_store(StorageSettings(folder=folder / "artifacts")), accept)
receiver.start()
print("port", receiver.port, flush=True)
sys.stdin.read()
receiver.stop()
"""


class Node:
    """A receiver in a process of its own, to be killed."""

    def __init__(self, folder: Path, *wrapper: str) -> None:
        self.folder = folder
        self._command = [*wrapper, sys.executable, "-c", NODE, str(folder)]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = next(line for line in self.process.stdout if line.startswith("port "))
        self.port = int(line.split()[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def incoming(self) -> list[Path]:
        return [path for path in (self.folder / "artifacts" / "incoming").glob("*") if path.stat().st_size]

    def rows(self) -> int:
        path = self.folder / "ledger"
        return path.read_text().count("\n") if path.exists() else 0

    def has_rows(self, number: int) -> bool:
        return self.rows() >= number

    def ledger(self) -> dict[str, str]:
        """The digest of each accepted instance; every one is found in the store and verified."""
        rows = dict(line.split() for line in (self.folder / "ledger").read_text().splitlines())
        store = open_store(StorageSettings(folder=self.folder / "artifacts"))
        for sha256 in rows.values():
            store.read(content_key(ArtifactKind.IMAGE, sha256))
        return rows


@pytest.fixture
def node_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "node"
    folder.mkdir()
    return folder


def test_killed_right_after_success_nothing_is_missing(node_folder: Path, connect: Callable, mammogram: Callable[..., Dataset]) -> None:
    """After kill -9 at the moment when Success has come the file is there with its digest, and so is its row."""
    data = mammogram(kilobytes=2000)
    with Node(node_folder) as node:
        assert connect(node.port).send_c_store(data).Status == 0x0000
        node.kill()
    assert list(node.ledger()) == [data.SOPInstanceUID]


def test_killed_in_mid_transfer_leaves_only_what_a_start_removes(
    node_folder: Path, dcmtk: Callable[[str], str], mammogram_file: Callable[..., Path], wait_until: Callable
) -> None:
    """After kill -9 while an object comes in there is no Success, no artifact; the next start cleans up, and the next try succeeds."""
    path = mammogram_file(kilobytes=20_000)
    with Node(node_folder) as node:
        sender = subprocess.Popen([dcmtk("dcmsend"), "-aec", "DOSREMC", "127.0.0.1", str(node.port), path], stderr=subprocess.DEVNULL)
        wait_until(lambda: node.incoming)
        node.kill()
        assert sender.wait() != 0
    store = open_store(StorageSettings(folder=node_folder / "artifacts"))
    assert node.incoming
    assert list(store.keys(ArtifactKind.IMAGE)) == []
    with Node(node_folder) as node:
        assert node.incoming == []
        subprocess.run([dcmtk("dcmsend"), "-aec", "DOSREMC", "127.0.0.1", str(node.port), path], check=True)
    assert len(node.ledger()) == 1


def test_killed_at_random_moments_under_load_no_acknowledged_object_is_lost(
    node_folder: Path, dcmtk: Callable[[str], str], mammogram_file: Callable[..., Path], wait_until: Callable
) -> None:
    """Four senders, a receiver killed again and again: everything that was answered with Success is in ledger and store."""
    files = [[mammogram_file(f"{sender}-{number}.dcm", kilobytes=200) for number in range(12)] for sender in range(4)]
    acknowledged: set[str] = set()
    for _ in range(4):
        with Node(node_folder) as node:
            command = [dcmtk("dcmsend"), "-v", "-aec", "DOSREMC", "127.0.0.1", str(node.port)]
            senders = [subprocess.Popen([*command, *paths], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for paths in files]
            rows = node.rows() + random.randint(1, 40)
            wait_until(partial(node.has_rows, rows))
            node.kill()
        for sender, paths in zip(senders, files, strict=True):
            # dcmsend sends the files in the order in which they are given.
            answered = sender.communicate()[0].count("Received C-STORE Response (Success)")
            acknowledged.update(str(dcmread(path).SOPInstanceUID) for path in paths[:answered])
    assert acknowledged
    assert acknowledged <= node.ledger().keys()


def test_the_kernel_is_asked_in_the_right_order(
    node_folder: Path, connect: Callable, mammogram: Callable[..., Dataset], tmp_path: Path
) -> None:
    """File synced, renamed into the store, folder synced, row committed, and only then a response to the sender."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    with Node(node_folder, "strace", "-f", "-y", "-s", "0", "-e", "trace=fsync,rename,sendto", "-o", str(trace)) as node:
        association = connect(node.port)
        assert association.send_c_store(mammogram()).Status == 0x0000
        association.release()
    (sha256,) = node.ledger().values()
    lines = [line for line in trace.read_text().splitlines() if "resumed" not in line]
    renamed = next(number for number, line in enumerate(lines) if "rename(" in line and sha256 in line)
    committed = next(number for number, line in enumerate(lines) if "fsync(" in line and "/ledger>" in line)
    answers = [number for number, line in enumerate(lines) if "sendto(" in line]
    assert any(re.search(r"fsync\(\d+<.*\.incoming>", line) for line in lines[:renamed])
    assert any(re.search(rf"fsync\(\d+<.*/images/{sha256[:2]}>", line) for line in lines[renamed:committed])
    # The association's acceptance, the answer to C-STORE, the answer to the release.
    assert len(answers) == 3
    assert answers[0] < renamed
    assert answers[1] > committed


def test_the_digest_is_that_of_the_file(node_folder: Path, connect: Callable, mammogram: Callable[..., Dataset]) -> None:
    """The digest in the row is the SHA-256 of the whole file on disk."""
    with Node(node_folder) as node:
        connect(node.port).send_c_store(mammogram())
        (sha256,) = node.ledger().values()
        path = node_folder / "artifacts" / content_key(ArtifactKind.IMAGE, sha256)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        node.kill()
