"""The simulated modality against peers: what was sent arrives, and every status is read."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import DigitalMammographyXRayImageStorageForPresentation

from dosremc_node.errors import NotDicom, PeerRefused, PeerUnreachable
from dosremc_node.records import Laterality
from dosremc_node.simulation import VENDORS, Order, Sent, send, simulate_exam

EXAM = simulate_exam(Order(1, VENDORS["A"], Laterality.LEFT, 8.0))
CONTENTS = [image.content for image in EXAM.images]


@contextmanager
def answering(
    status: int, port: int, *, ae_title: str = "PEER", sop_class: str = DigitalMammographyXRayImageStorageForPresentation
) -> Iterator[None]:
    """A storage SCP that answers every C-STORE with ``status`` and insists on its AE title."""
    entity = AE(ae_title=ae_title)
    entity.require_called_aet = True
    entity.add_supported_context(sop_class)
    handlers: list[tuple[evt.EventType, Callable[[Event], int]]] = [(evt.EVT_C_STORE, lambda _: status)]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield
    finally:
        server.shutdown()


# pynetdicom leaves the socket of a refused connection open until it is collected.
unclosed_socket_of_the_library = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@unclosed_socket_of_the_library
def test_dcmtk_receives_what_was_sent(dcmtk: Callable[[str], str], free_port: int, tmp_path: Path) -> None:
    """DCMTK's storescp stores four files whose pixels and headers are those that were sent."""
    peer = subprocess.Popen([dcmtk("storescp"), "-od", str(tmp_path), "--bit-preserving", "-aet", "PEER", str(free_port)])
    try:
        answers = _send_when_up(free_port)
    finally:
        peer.terminate()
        peer.wait()
    assert [answer.status for answer in answers] == [0, 0, 0, 0]
    received = {header.SOPInstanceUID: header for header in map(dcmread, tmp_path.iterdir())}
    for content in CONTENTS:
        sent = dcmread(BytesIO(content))
        assert received[sent.SOPInstanceUID] == sent


def _send_when_up(port: int) -> list[Sent]:
    deadline = time.monotonic() + 20
    while True:
        try:
            return send(CONTENTS, "127.0.0.1", port, called="PEER")
        except PeerUnreachable:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize(("status", "accepted"), [(0x0000, True), (0xB000, True), (0xA700, False), (0xC000, False)])
def test_every_status_is_read(status: int, accepted: bool, free_port: int) -> None:
    """The peer's answer is handed on as it is, for each file, and only Success and warnings count as accepted."""
    heard: list[Sent] = []
    with answering(status, free_port):
        answers = send(CONTENTS[:2], "127.0.0.1", free_port, called="PEER", progress=heard.append)
    assert answers == heard
    assert [answer.sop_instance_uid for answer in answers] == [image.sop_instance_uid for image in EXAM.images[:2]]
    assert [(answer.status, answer.accepted) for answer in answers] == [(status, accepted)] * 2


def test_files_on_disk_are_sent_too(free_port: int, tmp_path: Path) -> None:
    """A path is as good as bytes."""
    path = tmp_path / "one.dcm"
    path.write_bytes(CONTENTS[0])
    with answering(0, free_port):
        assert [answer.accepted for answer in send([path], "127.0.0.1", free_port, called="PEER")] == [True]


@unclosed_socket_of_the_library
def test_nobody_there_is_named(free_port: int) -> None:
    """Where nothing listens, the error names the peer and its port."""
    with pytest.raises(PeerUnreachable, match=f"PEER .127.0.0.1:{free_port}"):
        send(CONTENTS[:1], "127.0.0.1", free_port, called="PEER")


def test_a_wrong_ae_title_is_a_refusal(free_port: int) -> None:
    """An association that is rejected is a refusal, not an unreachable peer."""
    with answering(0, free_port, ae_title="OTHER"), pytest.raises(PeerRefused, match="AE titles"):
        send(CONTENTS[:1], "127.0.0.1", free_port, called="PEER")


def test_a_peer_that_takes_no_mammograms_is_a_refusal(free_port: int) -> None:
    """A peer that accepts none of the presentation contexts refuses, and the error says so without naming an instance."""
    with answering(0, free_port, sop_class="1.2.840.10008.5.1.4.1.1.2"), pytest.raises(PeerRefused) as refusal:
        send(CONTENTS[:1], "127.0.0.1", free_port, called="PEER")
    assert EXAM.images[0].sop_instance_uid not in str(refusal.value)


def test_what_is_no_dicom_is_named() -> None:
    """A file that cannot be read is refused before an association is opened."""
    with pytest.raises(NotDicom):
        send([b"not a DICOM file"], "127.0.0.1", 1, called="PEER")
