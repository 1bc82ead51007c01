"""A node without its processes, and images that arrive at it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from dosremc_node.artifacts import ArtifactKind
from dosremc_node.configuration import load
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.node import Node, open_node
from dosremc_node.records import ReceivedObject
from dosremc_node.simulation import VENDORS, Order, SimulatedExam, simulate_exam
from dosremc_node.workflow import receive

Arrive = Callable[[Node, bytes], str]


@pytest.fixture
def open_one(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Opens a node in a folder of its own."""
    opened: list[Node] = []

    def open_with(*options: str) -> Node:
        folders = [f"storage.folder={tmp_path}/artifacts", f"database.url=sqlite:///{tmp_path}/ledger.sqlite", "worker.poll_seconds=0.01"]
        opened.append(open_node(load(None, [*folders, *options])))
        return opened[-1]

    yield open_with
    for node in opened:
        node.ledger.close()


@pytest.fixture(scope="session")
def exam() -> SimulatedExam:
    """Four small views of a scanner that the demonstration release has a bank for."""
    return simulate_exam(Order(1, VENDORS["A"], None, binning=4.0))


@pytest.fixture(scope="session")
def imaging_workers() -> Iterator[ImagingWorkers]:
    """One process for images."""
    with ImagingWorkers(1, 60.0, 1024) as started:
        yield started


@pytest.fixture
def arrive() -> Arrive:
    """Has an image arrive as reception would; gives its digest."""

    def arrive_at(node: Node, content: bytes) -> str:
        dataset = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        digest = hashlib.sha256(content).hexdigest()
        node.store.put(ArtifactKind.IMAGE, content)
        receive(
            node,
            ReceivedObject(
                sha256=digest,
                size=len(content),
                sop_class_uid=dataset.SOPClassUID,
                sop_instance_uid=dataset.SOPInstanceUID,
                transfer_syntax_uid=dataset.file_meta.TransferSyntaxUID,
                calling_ae_title="MODALITY",
                peer_address="127.0.0.1",
                received_at=datetime.now(UTC),
            ),
        )
        return digest

    return arrive_at
