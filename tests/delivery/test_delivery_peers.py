"""Delivery against systems that nobody here wrote: DCMTK and Orthanc; and the questions that a PACS is asked."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dosremc_node.delivery import echo, found_on, send
from dosremc_node.errors import PeerRefused, PeerUnreachable
from dosremc_node.records import DeliveryOutcome, Document
from dosremc_node.reporting import rendition
from dosremc_node.simulation.pacs import Orthanc, orthanc_program

STUDY = "1.2.826.0.1.3680043.8.498.2000"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if orthanc_program() is None:
        pytest.skip("Orthanc is not installed")
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as pacs:
        pacs.knows("NODE", 11112)
        yield pacs


def test_orthanc_stores_and_says_what_it_has(orthanc: Any, start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """A real PACS takes the documents, lists them when it is asked, and takes them again without a fuss."""
    destination = start_scp().destination(port=orthanc.port, ae_title="ORTHANC")
    documents = [a_document(1), a_document(2)]
    assert found_on(destination, "NODE", STUDY) == []
    for _ in range(2):
        results = list(send(destination, "NODE", documents, rendition))
        assert [result.outcome for result in results] == [DeliveryOutcome.DELIVERED] * 2
    found = sorted(found_on(destination, "NODE", STUDY), key=lambda instance: instance.series_description)
    assert [(f.sop_class_uid, f.sop_instance_uid, f.series_instance_uid, f.series_description, f.modality) for f in found] == [
        (d.sop_class_uid, d.sop_instance_uid, d.series_instance_uid, d.description, "SR") for d in documents
    ]


def test_orthanc_rejects_a_caller_that_it_does_not_know(
    orthanc: Any, start_scp: Callable[..., Any], a_document: Callable[..., Document]
) -> None:
    """A calling AE title that the PACS does not know is refused, with words that say so."""
    destination = start_scp().destination(port=orthanc.port, ae_title="ORTHANC")
    (result,) = send(destination, "STRANGER", [a_document(3)], rendition)
    assert result.outcome is not DeliveryOutcome.DELIVERED
    assert result.comment


@pytest.fixture
def storescp(tmp_path: Path, free_port: int) -> Iterator[tuple[int, Path]]:
    """DCMTK's storage SCP, keeping every bit it receives."""
    program = shutil.which("storescp")
    if program is None:
        pytest.skip("DCMTK is not installed")
    received = tmp_path / "received"
    received.mkdir()
    with subprocess.Popen([program, "--bit-preserving", "-od", received, str(free_port)], stderr=subprocess.DEVNULL) as process:
        yield free_port, received
        process.terminate()


def wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("storescp does not listen")


def test_dcmtk_receives_the_kept_bytes(
    storescp: tuple[int, Path], start_scp: Callable[..., Any], a_document: Callable[..., Document]
) -> None:
    """DCMTK's storescp answers the echo, and stores the data set exactly as it was kept."""
    port, received = storescp
    destination = start_scp().destination(port=port)
    wait_until_it_listens(port)
    echo(destination, "NODE")
    document = a_document(1)
    (result,) = send(destination, "NODE", [document], rendition)
    assert result.outcome is DeliveryOutcome.DELIVERED
    (path,) = received.iterdir()
    stored, sent = pydicom.dcmread(path), pydicom.dcmread(BytesIO(document.content))
    assert (
        path.read_bytes()[132 + 12 + stored.file_meta[0x00020000].value :]
        == document.content[132 + 12 + sent.file_meta[0x00020000].value :]
    )


# pynetdicom drops the socket of a connection that failed without closing it.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_echo_says_why_it_failed(start_scp: Callable[..., Any], free_port: int) -> None:
    """`doctor` shows these words: unreachable and refused are told apart, host and port are named."""
    scp = start_scp()
    echo(scp.destination(), "NODE")
    with pytest.raises(PeerUnreachable, match=rf"127.0.0.1:{free_port}.*Connection refused"):
        echo(scp.destination(port=free_port), "NODE")
    scp.entity.require_called_aet = True
    with pytest.raises(PeerRefused, match="Called AE title not recognised"):
        echo(scp.destination(ae_title="OTHER"), "NODE")


def test_pacs_that_cannot_be_queried_says_so(start_scp: Callable[..., Any]) -> None:
    """A failure of C-FIND is an error with its status, not an empty list."""
    with pytest.raises(PeerRefused, match="0xC000"):
        found_on(start_scp(answers_find=False).destination(), "NODE", STUDY)
    with pytest.raises(PeerRefused, match="none of the proposed SOP classes"):
        found_on(start_scp(query=False).destination(), "NODE", STUDY)
