"""Broken and hostile senders against a receiver as it is installed: it stays up, leaks nothing, and a good sender beside them is served.

An attack follows from its seed, which names it: ``attack(seed)`` in ``harness/hostile.py`` makes it again.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Self

import pytest
import structlog
from harness.hostile import Attack, attack, command_set, pdu, pdv, request
from harness.node import RunningNode, wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.overview import list_studies
from dosremc_node.simulation import VENDORS, Order, send, simulate_view
from dosremc_node.simulation.exam import Laterality, View

pytestmark = [pytest.mark.system, pytest.mark.alone]

IDLE_SECONDS = 2.0
ARTIM_SECONDS = 5.0
PLACES = 8
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"
GROWTH_AT_MOST = 60 << 20
CONNECTIONS_AT_MOST, FILES_OF_A_CONNECTION = 15, 3  # of an SQLAlchemy pool, and of SQLite

log = structlog.get_logger()


@dataclass(frozen=True)
class Footprint:
    """What a process and its descendants hold. Connections to the ledger are kept, a few, as many at once as were needed: they are counted apart."""

    descriptors: int
    of_the_ledger: int
    threads: int
    memory: int


def family(process: int) -> list[int]:
    """A process and its descendants."""
    children = list[int]()
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            children += map(int, (task / "children").read_text().split())
    return [process, *(each for child in children for each in family(child))]


def footprint(process: int) -> Footprint:
    members = [Path(f"/proc/{each}") for each in family(process)]
    opened = [name for each in members for name in open_files(each)]
    of_the_ledger = sum("ledger.sqlite" in name for name in opened)
    threads = sum(len(os.listdir(each / "task")) for each in members)  # noqa: PTH208 - only their number
    pages = sum(int((each / "statm").read_text().split()[1]) for each in members)
    return Footprint(len(opened) - of_the_ledger, of_the_ledger, threads, pages * os.sysconf("SC_PAGE_SIZE"))


def open_files(process: Path) -> Iterator[str]:
    """What the descriptors of a process in ``/proc`` stand for."""
    for descriptor in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            yield str(descriptor.readlink())


class Target:
    """A receiver with its ledger, as a process of its own."""

    def __init__(self, node: RunningNode) -> None:
        self.node, self.port = node, node.settings.reception.port
        self.process = node.start_role("receiver")
        wait_until(lambda: "reception_started" in node.log.read_text(), f"the receiver listens, see {node.log}")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)

    @contextmanager
    def unharmed(self, growth: int = GROWTH_AT_MOST) -> Iterator[None]:
        """Afterwards it is the same process, with as many threads and descriptors as before, and hardly more memory."""
        before = footprint(self.process.pid)
        yield
        try:
            wait_until(lambda: self._is_as_before(before), "threads and descriptors are as before", 40)
        finally:
            after = footprint(self.process.pid)
            log.info("footprint", before=before, after=after)
        assert self.process.poll() is None
        assert after.memory - before.memory < growth
        assert after.of_the_ledger <= FILES_OF_A_CONNECTION * CONNECTIONS_AT_MOST
        assert list((self.node.settings.storage.folder / "incoming").iterdir()) == []

    def _is_as_before(self, before: Footprint) -> bool:
        now = footprint(self.process.pid)
        return now.descriptors <= before.descriptors + 1 and now.threads <= before.threads + 1


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One for all attacks, as in a hospital."""
    seconds = (f"reception.idle_timeout_seconds={IDLE_SECONDS}", f"reception.artim_timeout_seconds={ARTIM_SECONDS}")
    options = (*seconds, "reception.keep_free_megabytes=0")
    started = Target(RunningNode(tmp_path_factory.mktemp("hostile") / "node", [], *options))
    # What it loads with its first objects is no leak.
    with ThreadPoolExecutor(12) as senders:
        list(senders.map(lambda _: GoodSender(started).send_one(), range(36)))
    yield started
    started.end()


class GoodSender:
    """Sends one mammogram after the other while its context lasts; each must be answered with Success, and soon."""

    def __init__(self, target: Target) -> None:
        self._target, self._end, self.seconds = target, threading.Event(), list[float]()
        self._content = simulate_view(Order(1, VENDORS["A"], binning=16.0), Laterality.LEFT, View.CC).content
        self._thread = threading.Thread(target=self._run)
        self.failures: list[str] = []

    def send_one(self) -> None:
        began = time.monotonic()
        (answer,) = send([self._content], "127.0.0.1", self._target.port, called="DOSREMC")
        assert answer.status == 0
        self.seconds.append(time.monotonic() - began)

    def _run(self) -> None:
        while not self._end.wait(0.2):
            try:
                self.send_one()
            except Exception as error:  # noqa: BLE001 - told by the test
                self.failures.append(repr(error))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        assert self.failures == []
        assert max(self.seconds) < 15


def carry_out(target: Target, attack: Attack) -> None:
    """Send the attack; the node may answer or hang up at any point, but not keep the connection for ever."""
    with target.connect() as connection, suppress(ConnectionError, BrokenPipeError):
        for place, piece in enumerate(attack.pieces):
            connection.sendall(piece)
            if place == 0 and len(attack.pieces) > 1:
                connection.recv(65536)  # the answer to the association request
        if attack.end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif attack.end == "wait":
            while connection.recv(65536):
                pass


def carry_out_all(target: Target, seeds: range) -> None:
    with ThreadPoolExecutor(4) as attackers:
        for _ in attackers.map(lambda seed: carry_out(target, attack(seed)), seeds):
            pass


def test_hostile_streams_do_no_harm(target: Target) -> None:
    """Forty attacks of twelve kinds, four at once."""
    log.info("attacks", seeds="0 to 39")
    with target.unharmed(), GoodSender(target):
        carry_out_all(target, range(40))


@pytest.mark.soak
@pytest.mark.parametrize("beginning", [1000, 2000, 3000, 4000])
def test_many_hostile_streams_do_no_harm(beginning: int, target: Target) -> None:
    """A thousand attacks for each beginning."""
    with target.unharmed(), GoodSender(target):
        carry_out_all(target, range(beginning, beginning + 1000))


def probe(target: Target, number: int) -> None:
    """Connect and close, as load balancers and scanners do: quietly, with a reset, or half closed."""
    with target.connect() as connection:
        if number % 3 == 1:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif number % 3 == 2:
            connection.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("probes", [500, pytest.param(10_000, marks=pytest.mark.soak)])
def test_port_probes_do_no_harm(probes: int, target: Target) -> None:
    """Thousands of connections on which nothing is ever said."""
    with target.unharmed(), GoodSender(target):
        for number in range(probes):
            probe(target, number)


@pytest.fixture
def small_target(tmp_path: Path) -> Iterator[Target]:
    """One with few places, that nobody else attacks."""
    started = Target(RunningNode(tmp_path / "node", [], f"reception.max_associations={PLACES}", "reception.keep_free_megabytes=0"))
    yield started
    started.end()


def test_a_receiver_without_descriptors_left_serves_again_once_there_are(small_target: Target) -> None:
    """More associations than it can have open: it says so now and then, and when they are gone every place is there."""
    target, good = small_target, GoodSender(small_target)
    good.send_one()
    now = footprint(target.process.pid)
    held = now.descriptors + now.of_the_ledger
    usual, most = resource.prlimit(target.process.pid, resource.RLIMIT_NOFILE)
    # Each needs two. By one of the numbers it is a connection that finds none left, by the other what goes with it.
    for few in (10, 11):
        resource.prlimit(target.process.pid, resource.RLIMIT_NOFILE, (held + few, most))
        said = target.node.log.read_text().count("cannot_accept")
        crowd = [target.connect() for _ in range(PLACES)]
        for each in crowd:
            each.sendall(pdu(1, request()))
        wait_until(lambda said=said: target.node.log.read_text().count("cannot_accept") > said + 2, "it has no descriptor left")
        assert target.node.log.read_text().count("cannot_accept") < said + 100
        for each in crowd:
            each.close()
    resource.prlimit(target.process.pid, resource.RLIMIT_NOFILE, (usual, most))
    for _ in range(2):
        opened = [associate(target.port, [(MAMMOGRAM, ExplicitVRLittleEndian)]) for _ in range(PLACES)]
        assert all(association.is_established for association in opened)
        assert associate(target.port, [(MAMMOGRAM, ExplicitVRLittleEndian)]).is_rejected
        for association in opened:
            association.release()
    good.send_one()


def test_senders_of_a_byte_at_a_time_are_cut_off(target: Target) -> None:
    """An association request that never ends is over after the ARTIM time, another PDU after the idle time, however regularly they grow."""
    open_association = pdu(1, request()) + pdu(4, pdv(command_set(), command=True))
    with target.unharmed(), GoodSender(target), ThreadPoolExecutor(2) as senders:
        asking, sending = senders.map(lambda beginning: seconds_until_cut_off(target, beginning), (b"", open_association))
    assert 0.9 * ARTIM_SECONDS < asking < ARTIM_SECONDS + 10
    assert 0.9 * IDLE_SECONDS < sending < IDLE_SECONDS + 10


def seconds_until_cut_off(target: Target, beginning: bytes) -> float:
    """How long the node listens to a byte at a time, after what was said at once."""
    began = time.monotonic()
    with target.connect() as connection, suppress(ConnectionError, BrokenPipeError, TimeoutError):
        connection.sendall(beginning)
        for byte in pdu(1 if not beginning else 4, bytes(1000)):
            connection.sendall(bytes([byte]))
            connection.settimeout(0.3)
            with suppress(TimeoutError):
                while answer := connection.recv(65536):
                    del answer
                break
    return time.monotonic() - began


# --- Odd data sets ----------------------------------------------------------------------------------------------------


def associate(port: int, contexts: list[tuple[str, str]]) -> Association:
    entity = AE("ODD")
    entity.acse_timeout = entity.dimse_timeout = 30
    for abstract_syntax, transfer_syntax in contexts:
        entity.add_requested_context(abstract_syntax, transfer_syntax)
    return entity.associate("127.0.0.1", port, ae_title="DOSREMC")


def meta_of(path: Path) -> tuple[str, str] | None:
    """SOP class and transfer syntax of a Part 10 file; None for what is none, which C-STORE cannot carry."""
    if path.read_bytes()[128:132] != b"DICM":
        return None
    meta, _ = split_dataset(path)
    names = (str(meta.get("MediaStorageSOPClassUID", "")), str(meta.get("TransferSyntaxUID", "")))
    return names if all(names) and "MediaStorageSOPInstanceUID" in meta else None


def test_every_odd_file_is_answered(target: Target, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file of the collection, as it is, gets a status; those with Success are in the ledger or of no concern to it."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # send the bytes of the file, undecoded
    answered = 0
    with target.unharmed(GROWTH_AT_MOST * 2), GoodSender(target):
        for path in sorted(path for path in (shared_data / "robust-dev").rglob("*") if path.is_file()):
            context = meta_of(path)
            association = associate(target.port, [context]) if context else None
            if association is None or not association.accepted_contexts:
                continue
            assert association.send_c_store(path).get("Status") in (0x0000, 0xC000), path.name
            answered += 1
            association.release()
    assert answered > 200


VALUES = {
    "LO": st.text(max_size=80),
    "UI": st.text("0123456789./\x00", max_size=70),
    "CS": st.text("ABCMG \\_", max_size=20),
    "DA": st.text("0123456789.", max_size=10),
}
KEYWORDS = {
    "LO": ("PatientID", "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "IssuerOfPatientID", "SeriesDescription"),
    "UI": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
    "CS": ("Modality", "ImageType", "ImageLaterality", "Laterality", "ViewPosition", "PresentationIntentType", "BodyPartExamined"),
    "DA": ("StudyDate", "AcquisitionDate"),
}
ELEMENTS = st.fixed_dictionaries({}, optional={word: VALUES[kind] for kind, words in KEYWORDS.items() for word in words})


def encoded(values: dict[str, str]) -> bytes:
    """A mammogram with these texts in it, whatever they are; the meta information, of which the command is made, is as it should be."""
    data = Dataset()
    data.preamble, data.file_meta = bytes(128), FileMetaDataset()
    data.file_meta.TransferSyntaxUID, data.file_meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, UID(MAMMOGRAM)
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.SOPClassUID, data.SOPInstanceUID, data.StudyInstanceUID = MAMMOGRAM, generate_uid(), generate_uid()
    data.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in values.items():
        setattr(data, keyword, value)
    buffer = BytesIO()
    data.save_as(buffer)
    return buffer.getvalue()


def test_data_sets_of_any_text_are_answered(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in the elements that the node reads: Success with a row, or 0xC000 without one."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    path, statuses = tmp_path / "any.dcm", list[int]()
    ledger = Ledger(target.node.settings.database.url)
    studies_before = len(list_studies(ledger))
    association = associate(target.port, [(MAMMOGRAM, ExplicitVRLittleEndian)])

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(ELEMENTS)
    def answers(values: dict[str, str]) -> None:
        nonlocal association
        if not association.is_established:  # it was idle for too long, while the texts were made
            association = associate(target.port, [(MAMMOGRAM, ExplicitVRLittleEndian)])
        path.write_bytes(encoded(values))
        statuses.append(association.send_c_store(path).Status)
        assert statuses[-1] in (0x0000, 0xC000)

    with target.unharmed():
        answers()
        association.release()
    assert 0 < len(list_studies(ledger)) - studies_before <= statuses.count(0)
