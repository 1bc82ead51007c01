"""Documents to send, and a storage SCP that answers what a test tells it to."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from dosremc_node.records import Document, DocumentKind
from dosremc_node.settings import Destination, Purpose

STUDY = "1.2.826.0.1.3680043.8.498.2000"


def make_document(number: int, sop_class_uid: str = ComprehensiveSRStorage, **attributes: Any) -> Document:
    """A structured report that a PACS can store, in a series of its own."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, f"{STUDY}.{number}.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, f"{STUDY}.{number}"
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Müller^Άννα", "P-1", "SR"
    dataset.SeriesDescription, dataset.SeriesNumber, dataset.InstanceNumber = f"AI DOCUMENT {number}", number, 1
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    uids = (str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), str(dataset.SeriesInstanceUID))
    return Document(DocumentKind.SUMMARY, *uids, dataset.SeriesDescription, buffer.getvalue())


@dataclass
class Scp:
    """A storage SCP on loopback: it keeps what it stores, and answers with ``status`` or with what ``store`` says."""

    entity: AE = field(default_factory=lambda: AE(ae_title="PACS"))
    status: int = 0
    comment: str = ""
    store: Callable[[Any], Any] | None = None
    stored: list[bytes] = field(default_factory=list)
    answers_find: bool = True
    port: int = 0

    def on_store(self, event: Any) -> Any:
        if self.store is not None:
            return self.store(event)
        if self.status in (0, 0xB000):
            self.stored.append(event.encoded_dataset(include_meta=False))
        answer = Dataset()
        answer.Status = self.status
        if self.comment:
            answer.ErrorComment = self.comment
        return answer

    def on_find(self, event: Any) -> Iterator[Any]:
        if not self.answers_find:
            yield 0xC000, None
            return
        for content in self.stored:
            dataset = pydicom.dcmread(BytesIO(content), force=True)
            if dataset.SOPInstanceUID == event.identifier.SOPInstanceUID:
                yield 0xFF00, dataset

    def destination(self, **changes: Any) -> Destination:
        values = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": self.port, "purpose": Purpose.TEST}
        return Destination(**{**values, "timeout_seconds": 5.0, **changes})


@pytest.fixture
def start_scp() -> Iterator[Callable[..., Scp]]:
    """A function that starts an `Scp`: which SOP classes and transfer syntaxes it accepts, and how it behaves."""
    servers, connections = [], []

    def start(
        storage: tuple[str, ...] = (ComprehensiveSRStorage,),
        syntaxes: tuple[str, ...] = (ExplicitVRLittleEndian, "1.2.840.10008.1.2"),
        query: bool = True,
        tls: ssl.SSLContext | None = None,
        **behaviour: Any,
    ) -> Scp:
        scp = Scp(**behaviour)
        for sop_class in storage:
            scp.entity.add_supported_context(sop_class, list(syntaxes))
        if query:
            scp.entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
            scp.entity.add_supported_context(Verification)
        handlers = [(evt.EVT_C_STORE, scp.on_store), (evt.EVT_C_FIND, scp.on_find)]
        handlers.append((evt.EVT_CONN_OPEN, lambda event: connections.append(event.assoc.dul.socket.socket)))
        server = scp.entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls)
        servers.append(server)
        scp.port = server.server_address[1]
        return scp

    yield start
    for server in servers:
        server.shutdown()
    for connection in connections:
        connection.close()  # pynetdicom leaves that to the garbage collector


@pytest.fixture(scope="session")
def a_document() -> Callable[..., Document]:
    return make_document
