"""STOW-RS: the status of each instance is read from the answer, and each HTTP status means something."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ComprehensiveSRStorage, EnhancedSRStorage

from dosremc_node.delivery import echo, send
from dosremc_node.errors import PeerRefused
from dosremc_node.records import DeliveryOutcome, Document
from dosremc_node.reporting import rendition
from dosremc_node.settings import Destination, DicomWeb
from dosremc_node.simulation.pacs import Orthanc, orthanc_program

DELIVERED, RETRY, REFUSED = DeliveryOutcome.DELIVERED, DeliveryOutcome.RETRY, DeliveryOutcome.REFUSED


def destination(url: str, **changes: Any) -> Destination:
    return Destination(name="pacs", dicomweb=DicomWeb(url=url, **changes), timeout_seconds=5.0)


def answer(uid: str, *, failure: int | None = None, warning: int | None = None) -> bytes:
    item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
    if failure is not None:
        item["00081197"] = {"vr": "US", "Value": [failure]}
    if warning is not None:
        item["00081196"] = {"vr": "US", "Value": [warning]}
    return json.dumps({"00081198" if failure is not None else "00081199": {"vr": "SQ", "Value": [item]}}).encode()


class Service(HTTPServer):
    """A DICOMweb service that answers each request with the next of its answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, bytes]] = []
        self.found: list[str] = []
        self.media_type = "application/dicom+json"
        self.location = ""
        self.headers: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/dicom-web"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Service)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.headers.append(dict(self.headers))
        status, content = self.server.answers.pop(0)
        self._answer(status, content)

    def do_GET(self) -> None:
        assert isinstance(self.server, Service)
        self._answer(200, json.dumps([{"00080018": {"vr": "UI", "Value": [uid]}} for uid in self.server.found]).encode())

    def _answer(self, status: int, content: bytes) -> None:
        assert isinstance(self.server, Service)
        self.send_response(status)
        self.send_header("Content-Type", self.server.media_type)
        self.send_header("Content-Length", str(len(content)))
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_orthanc_stores_the_kept_bytes(tmp_path: Path, a_document: Callable[..., Document]) -> None:
    """A real DICOMweb service stores the document as it was kept, again without a fuss, and `doctor` reaches it."""
    if orthanc_program() is None:
        pytest.skip("Orthanc is not installed")
    with Orthanc(tmp_path / "orthanc") as pacs:
        peer = destination(f"http://127.0.0.1:{pacs.http_port}/dicom-web/")
        echo(peer, "NODE")
        for _ in range(2):
            (result,) = send(peer, "NODE", [a_document(1)], rendition)
            assert (result.outcome, result.status) == (DELIVERED, 0), result.comment
        (instance,) = pacs.instances()
        assert pacs.fetch(instance) == a_document(1).content
        with pytest.raises(PeerRefused, match="HTTP status 404"):
            echo(destination(f"http://127.0.0.1:{pacs.http_port}/nothing"), "NODE")


@pytest.mark.parametrize(
    ("http", "body", "outcome", "status"),
    [
        (200, {}, DELIVERED, 0),
        (202, {"warning": 0xB000}, DELIVERED, 0xB000),
        (409, {"failure": 0xA700}, RETRY, 0xA700),
        (409, {"failure": 0x0110}, RETRY, 0x0110),
        (409, {"failure": 0xA900}, REFUSED, 0xA900),
        (202, {"failure": 0xC000}, REFUSED, 0xC000),
        (200, None, RETRY, None),
        (503, None, RETRY, None),
        (429, None, RETRY, None),
        (500, None, RETRY, None),
        (400, None, REFUSED, None),
        (401, None, REFUSED, None),
        (403, None, REFUSED, None),
        (415, None, REFUSED, None),
    ],
)
def test_every_answer_is_read(
    service: Service,
    a_document: Callable[..., Document],
    *,
    http: int,
    body: dict[str, int] | None,
    outcome: DeliveryOutcome,
    status: int | None,
) -> None:
    """Promise 2: an HTTP 200 that does not name the document is no delivery, and a 202 may hold a failure."""
    document = a_document(1)
    service.answers = [(http, b"" if body is None else answer(document.sop_instance_uid, **body))]
    (result,) = send(destination(service.url), "NODE", [document], rendition)
    assert (result.outcome, result.status) == (outcome, status), result.comment


def test_sop_class_that_is_not_supported_is_followed_by_the_next(service: Service, a_document: Callable[..., Document]) -> None:
    """0x0122: the document goes once more as the next class, under that class's own UID."""
    document = a_document(1)
    peer = destination(service.url).model_copy(update={"structured_reports": ("comprehensive", "enhanced")})
    other = rendition(document, EnhancedSRStorage)
    service.answers = [(409, answer(document.sop_instance_uid, failure=0x0122)), (200, answer(other.sop_instance_uid))]
    (result,) = send(peer, "NODE", [document], rendition)
    assert (result.outcome, result.sop_instance_uid) == (DELIVERED, other.sop_instance_uid)
    assert document.sop_class_uid == ComprehensiveSRStorage
    assert pydicom.dcmread(BytesIO(other.content)).SOPClassUID == EnhancedSRStorage


def test_media_type_with_a_parameter_is_read(service: Service, a_document: Callable[..., Document]) -> None:
    """Many a framework adds the character set to what it sends."""
    document, service.media_type = a_document(1), "application/dicom+json; charset=utf-8"
    service.answers = [(200, answer(document.sop_instance_uid)), (409, answer(document.sop_instance_uid, failure=0xA900))]
    results = [result for _ in range(2) for result in send(destination(service.url), "NODE", [document], rendition)]
    assert [(result.outcome, result.status) for result in results] == [(DELIVERED, 0), (REFUSED, 0xA900)]
    assert service.headers[0]["Accept"] == "application/dicom+json"


@pytest.mark.parametrize(
    ("media_type", "content"), [("application/dicom+json", b'{"00081199": 1}'), ("application/dicom+json", b"["), ("application/xml", b"<")]
)
def test_answer_that_cannot_be_read_is_tried_again(
    service: Service, a_document: Callable[..., Document], media_type: str, content: bytes
) -> None:
    """Whatever it was, it is no Success, and the documents behind it have their turn."""
    service.media_type, service.answers = media_type, [(200, content)] * 2
    results = list(send(destination(service.url), "NODE", [a_document(1), a_document(2)], rendition))
    assert [(result.outcome, result.status) for result in results] == [(RETRY, None)] * 2


@pytest.mark.parametrize(("found", "outcome"), [(True, DELIVERED), (False, RETRY)])
def test_duplicate_is_believed_once_the_service_names_it(
    service: Service, a_document: Callable[..., Document], *, found: bool, outcome: DeliveryOutcome
) -> None:
    """Promise 4: 0x0111 is delivered where QIDO-RS finds this very instance, and not where it finds another of the series."""
    document = a_document(1)
    service.answers = [(409, answer(document.sop_instance_uid, failure=0x0111))]
    service.found = ["2.25.1", document.sop_instance_uid] if found else ["2.25.1"]
    (result,) = send(destination(service.url), "NODE", [document], rendition)
    assert (result.outcome, result.status) == (outcome, 0x0111)


@pytest.mark.parametrize("status", [301, 307, 308])
def test_no_document_follows_a_redirection(service: Service, a_document: Callable[..., Document], status: int) -> None:
    """It goes where the settings say, and nowhere else."""
    service.location, service.answers = f"{service.url}/elsewhere", [(status, b"")]
    (result,) = send(destination(service.url), "NODE", [a_document(1)], rendition)
    assert (result.outcome, len(service.headers)) == (RETRY, 1)
    assert "TooManyRedirects" in result.comment


def test_secrets_come_from_the_environment(service: Service, a_document: Callable[..., Document], monkeypatch: pytest.MonkeyPatch) -> None:
    """A token or a password is read where it is named, sent, and named but never shown where it is missing."""
    document = a_document(1)
    service.answers = [(200, answer(document.sop_instance_uid))] * 2
    monkeypatch.setenv("PACS_SECRET", "canary")
    list(send(destination(service.url, token_variable="PACS_SECRET"), "NODE", [document], rendition))  # noqa: S106 - the name of a variable
    list(send(destination(service.url, user="node", password_variable="PACS_SECRET"), "NODE", [document], rendition))  # noqa: S106 - the name of a variable
    assert [each["Authorization"] for each in service.headers] == ["Bearer canary", "Basic bm9kZTpjYW5hcnk="]
    monkeypatch.delenv("PACS_SECRET")
    (result,) = send(destination(service.url, token_variable="PACS_SECRET"), "NODE", [document], rendition)  # noqa: S106 - the name of a variable
    assert result.outcome is REFUSED
    assert "PACS_SECRET" in result.comment


def test_service_that_is_away_is_tried_again(a_document: Callable[..., Document], free_port: int) -> None:
    """Nobody listens: nothing is lost."""
    (result,) = send(destination(f"http://127.0.0.1:{free_port}/dicom-web"), "NODE", [a_document(1)], rendition)
    assert (result.outcome, result.status) == (RETRY, None)
