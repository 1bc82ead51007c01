"""A receiver on a port of its own, objects to send, and senders that nobody here wrote."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association

from dosremc_node.artifacts import ArtifactKind, ArtifactStore, content_key, open_store
from dosremc_node.reception import Receiver
from dosremc_node.reception.connection import close_at_end
from dosremc_node.records import ReceivedObject
from dosremc_node.settings import ReceptionSettings, StorageSettings

AE_TITLE = "DOSREMC"
MAMMOGRAM = DigitalMammographyXRayImageStorageForPresentation


@dataclass
class Listening:
    """A running receiver, its store, and what it has handed over so far."""

    receiver: Receiver
    store: ArtifactStore
    received: list[ReceivedObject] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.receiver.port

    def content(self, number: int = 0) -> bytes:
        return self.store.read(content_key(ArtifactKind.IMAGE, self.received[number].sha256))


Listen = Callable[..., Listening]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_store(StorageSettings(folder=tmp_path / "artifacts"))


@pytest.fixture
def listen(store: ArtifactStore) -> Iterator[Listen]:
    """Starts receivers: ``listen(accept=..., store=..., **settings)``; all are stopped at the end."""
    running: list[Receiver] = []

    def start(accept: Callable[[ReceivedObject], None] | None = None, store: ArtifactStore = store, **settings: object) -> Listening:
        received: list[ReceivedObject] = []
        # Port 0 lets the kernel choose: no two tests can meet.
        wanted = ReceptionSettings(**{"keep_free_megabytes": 0, **settings}).model_copy(update={"port": 0})
        receiver = Receiver(wanted, AE_TITLE, store, accept or received.append)
        receiver.start()
        running.append(receiver)
        return Listening(receiver, store, received)

    yield start
    for receiver in running:
        receiver.stop(grace_seconds=2)


def _mammogram(kilobytes: int = 64, **attributes: object) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = MAMMOGRAM, generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.PatientID, data.PatientName, data.Modality, data.StudyDate = "PATIENT", "A^B", "MG", "20260102"
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = kilobytes, 512, 16, 12, 11
    data.SamplesPerPixel, data.PixelRepresentation, data.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    data.PixelData = bytes(kilobytes * 1024)
    for keyword, value in attributes.items():
        setattr(data, keyword, value)
    return data


@pytest.fixture
def mammogram() -> Callable[..., Dataset]:
    """Makes an object of so many kilobytes with UIDs of its own."""
    return _mammogram


@pytest.fixture
def mammogram_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes such an object to a file."""

    def write(name: str = "image.dcm", kilobytes: int = 64, **attributes: object) -> Path:
        path = tmp_path / name
        content = BytesIO()
        _mammogram(kilobytes, **attributes).save_as(content, enforce_file_format=True)
        path.write_bytes(content.getvalue())
        return path

    return write


Connect = Callable[..., Association]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens associations, established or not: ``connect(port, calling=..., called=..., offers=...)``."""
    opened: list[Association] = []

    def associate(
        port: int, *, calling: str = "MODALITY", called: str = AE_TITLE, offers: dict[str, list[str]] | None = None, **more: object
    ) -> Association:
        entity = AE(calling)
        entity.acse_timeout = entity.dimse_timeout = 5
        for abstract_syntax, transfer_syntaxes in (offers or {MAMMOGRAM: [ExplicitVRLittleEndian]}).items():
            entity.add_requested_context(UID(abstract_syntax), [*transfer_syntaxes])
        association = entity.associate("127.0.0.1", port, ae_title=called, evt_handlers=[(evt.EVT_CONN_OPEN, close_at_end)], **more)
        opened.append(association)
        return association

    yield associate
    for association in opened:
        if association.is_established:
            association.release()
        association.join(timeout=10) if association.is_alive() else None


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def association_threads() -> Callable[[], list[threading.Thread]]:
    """The threads that associations are using at this moment."""
    quiet = {thread.ident for thread in threading.enumerate()}
    return lambda: [thread for thread in threading.enumerate() if thread.ident not in quiet and thread.name != "Reception"]
