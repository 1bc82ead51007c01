"""Objects on their way from a sender to the store, and what the sender is answered."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    HTJ2K,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
)
from pynetdicom import _config
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import split_dataset

from dosremc_node.artifacts import ArtifactKind, ArtifactStore, content_key
from dosremc_node.artifacts.folder import FolderStore
from dosremc_node.errors import NotDicom
from dosremc_node.reception.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from dosremc_node.reception.spooling import SpooledObject
from dosremc_node.records import ReceivedObject

MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
UNKNOWN_TO_DCMTK = (HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL, "1.2.840.10008.1.2.8.1")


def data_set_bytes(path: Path) -> bytes:
    return path.read_bytes()[split_dataset(path)[1] :]


def test_verification_answers_to_dcmtk(listen: Callable, dcmtk: Callable[[str], str]) -> None:
    """DCMTK's echoscu gets its C-ECHO answered."""
    node = listen()
    subprocess.run([dcmtk("echoscu"), "-aec", "DOSREMC", "127.0.0.1", str(node.port)], check=True)


def test_what_dcmtk_sends_is_kept_and_handed_over(
    listen: Callable, dcmtk: Callable[[str], str], mammogram_file: Callable[..., Path]
) -> None:
    """An object sent by dcmsend lies in the store as a whole Part 10 file, and its record says where it came from."""
    node = listen()
    path = mammogram_file()
    subprocess.run([dcmtk("dcmsend"), "-aec", "DOSREMC", "-aet", "UNIT1", "127.0.0.1", str(node.port), path], check=True)
    sent, received = dcmread(path), node.received[0]
    assert dcmread(BytesIO(node.content())) == sent
    assert (received.sop_class_uid, received.sop_instance_uid) == (MAMMOGRAM, sent.SOPInstanceUID)
    assert (received.calling_ae_title, received.peer_address) == ("UNIT1", "127.0.0.1")
    assert received.transfer_syntax_uid == ExplicitVRLittleEndian
    assert received.size == len(node.content())
    assert received.received_at.tzinfo is not None
    with node.store.local(content_key(ArtifactKind.IMAGE, received.sha256)) as kept:
        subprocess.run([dcmtk("dcmftest"), kept], check=True, stdout=subprocess.DEVNULL)


def test_success_comes_after_the_object_was_accepted(listen: Callable, connect: Callable, mammogram: Callable[..., Dataset]) -> None:
    """When the program is handed an object it can already be read from the store, and the sender has no answer yet."""
    seen = []

    def accept(received: ReceivedObject) -> None:
        seen.append((node.store.exists(content_key(ArtifactKind.IMAGE, received.sha256)), answers.copy()))

    answers: list[int] = []
    node = listen(accept=accept)
    answers.append(connect(node.port).send_c_store(mammogram()).Status)
    assert seen == [(True, [])]
    assert answers == [0x0000]


def storable(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """The files below a folder that a sender could send as they are, by SOP class and transfer syntax."""
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.read_bytes()[128:132] == b"DICM":
            meta, _ = split_dataset(path)
            pair = (meta.get("MediaStorageSOPClassUID", ""), meta.get("TransferSyntaxUID", ""))
            if pair[0] in STORAGE_CLASSES and pair[1] in TRANSFER_SYNTAXES:
                found.setdefault(pair, []).append(path)
    return found


def test_every_odd_file_is_stored_byte_for_byte(
    listen: Callable, connect: Callable, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file of the collection of odd ones comes through with the bytes of its data set unchanged, whatever they say."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # send the bytes of the file, undecoded
    node, sent = listen(), []
    for (abstract_syntax, transfer_syntax), paths in storable(shared_data / "robust-dev").items():
        association = connect(node.port, offers={abstract_syntax: [transfer_syntax]})
        for path in paths:
            assert association.send_c_store(path).Status == 0x0000, path.name
            sent.append(path)
        association.release()
    assert len(sent) > 200
    for received, path in zip(node.received, sent, strict=True):
        with node.store.local(content_key(ArtifactKind.IMAGE, received.sha256)) as kept:
            assert data_set_bytes(kept) == data_set_bytes(path), path.name


def test_compressed_objects_stay_as_they_are(listen: Callable, dcmtk: Callable[[str], str], shared_data: Path) -> None:
    """dcmsend, told not to decompress, gets each of its compressed syntaxes accepted: JPEG, JPEG-LS, JPEG 2000, RLE."""
    node = listen()
    captures = {syntax: paths[0] for (uid, syntax), paths in storable(shared_data / "robust-dev").items() if uid == SECONDARY_CAPTURE}
    first = {syntax: path for syntax, path in captures.items() if UID(syntax).is_compressed and syntax not in UNKNOWN_TO_DCMTK}
    for syntax, path in first.items():
        command = [dcmtk("dcmsend"), "--decompress-never", "-aec", "DOSREMC", "127.0.0.1", str(node.port), path]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        assert node.received[-1].transfer_syntax_uid == syntax
    assert len(first) >= 5


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ([JPEGLSLossless, ExplicitVRLittleEndian], JPEGLSLossless),
        ([ExplicitVRLittleEndian, JPEG2000Lossless], ExplicitVRLittleEndian),
        (["1.2.840.10008.1.2.4.94", ImplicitVRLittleEndian], ImplicitVRLittleEndian),
    ],
)
def test_the_senders_first_choice_is_agreed_to(listen: Callable, connect: Callable, offered: list[str], agreed: str) -> None:
    """Of several syntaxes in one context the sender's first is taken, unless it carries no pixels (JPIP)."""
    association = connect(listen().port, offers={MAMMOGRAM: offered})
    assert [context.transfer_syntax for context in association.accepted_contexts] == [[agreed]]


def test_everything_storable_is_agreed_to(listen: Callable, connect: Callable) -> None:
    """Mammography, tomosynthesis, projections, captures, reports and presentation states, in every syntax; nothing else."""
    storable = [
        f"1.2.840.10008.5.1.4.1.1.{end}"
        for end in ("1.2", "1.2.1", "13.1.3", "13.1.4", "13.1.5", "7", "1", "1.1", "88.33", "88.59", "11.1")
    ]
    assert set(storable) <= STORAGE_CLASSES
    node = listen()
    for syntax in TRANSFER_SYNTAXES:
        association = connect(node.port, offers={uid: [syntax] for uid in (*storable, "1.2.840.10008.5.1.4.1.2.2.1", "1.2.3.4")})
        assert {context.abstract_syntax for context in association.accepted_contexts} == set(storable)
        association.release()


def test_the_same_object_twice_is_one_artifact(listen: Callable, connect: Callable, mammogram: Callable[..., Dataset]) -> None:
    """Two senders of one object make the same bytes, because nothing of the sender goes into the file."""
    node, data = listen(), mammogram()
    for calling in ("ONE", "TWO"):
        assert connect(node.port, calling=calling).send_c_store(data).Status == 0x0000
    assert len({received.sha256 for received in node.received}) == 1
    assert len(list(node.store.keys(ArtifactKind.IMAGE))) == 1


def test_eight_senders_at_once(listen: Callable, dcmtk: Callable[[str], str], mammogram_file: Callable[..., Path]) -> None:
    """The same file in eight parallel associations is eight times Success, one artifact, and whole."""
    node, path = listen(), mammogram_file(kilobytes=2000)
    command = [dcmtk("dcmsend"), "-aec", "DOSREMC", "127.0.0.1", str(node.port), path]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: subprocess.run(command, check=True), range(8)))
    assert len(node.received) == 8
    assert len(list(node.store.keys(ArtifactKind.IMAGE))) == 1
    assert dcmread(BytesIO(node.content())) == dcmread(path)
    assert list(node.store.incoming.iterdir()) == []


def test_fragments_of_any_size_make_the_same_file(
    listen: Callable, dcmtk: Callable[[str], str], mammogram_file: Callable[..., Path]
) -> None:
    """Small PDUs and large ones give the same bytes."""
    node, path = listen(), mammogram_file(kilobytes=300)
    for size in ("4096", "16384", "131072"):
        subprocess.run([dcmtk("dcmsend"), "--max-send-pdu", size, "-aec", "DOSREMC", "127.0.0.1", str(node.port), path], check=True)
    assert len({received.sha256 for received in node.received}) == 1
    assert dcmread(BytesIO(node.content())) == dcmread(path)


# --- What the sender is told when it goes wrong ------------------------------------------------------------------------


def test_what_makes_no_sense_is_refused_as_such(listen: Callable, connect: Callable, mammogram: Callable[..., Dataset]) -> None:
    """NotDicom becomes 0xC000 with a comment, and the association goes on."""

    def accept(received: ReceivedObject) -> None:
        if len(accepted) < 1:
            accepted.append(received)
            raise NotDicom(why="no SOP class")

    accepted: list[ReceivedObject] = []
    association = connect(listen(accept=accept).port)
    answer = association.send_c_store(mammogram())
    assert (answer.Status, answer.ErrorComment) == (0xC000, "The data set cannot be read")
    assert association.send_c_store(mammogram()).Status == 0x0000


def test_a_failing_ledger_is_a_failure_that_names_nobody(listen: Callable, connect: Callable, mammogram: Callable[..., Dataset]) -> None:
    """Any other error on the way becomes 0x0110, and the comment does not quote it."""

    def accept(received: ReceivedObject) -> None:
        raise RuntimeError(f"duplicate key {received.sop_instance_uid}")

    data = mammogram()
    answer = connect(listen(accept=accept).port).send_c_store(data)
    assert answer.Status == 0x0110
    assert answer.ErrorComment == "The object could not be registered"


def test_a_request_without_data_set_is_refused(listen: Callable, connect: Callable) -> None:
    """A C-STORE that brings nothing gets 0xC000 rather than silence."""
    association = connect(listen().port)
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(MAMMOGRAM), UID("1.2.3")
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert answer.Status == 0xC000


class NearlyFull(FolderStore):
    """A store whose file system has as many free bytes as a test says."""

    free = 1 << 40

    def free_bytes(self) -> int:
        return self.free


def test_low_space_refuses_before_anything_is_written_and_recovers(
    listen: Callable, connect: Callable, mammogram: Callable[..., Dataset], tmp_path: Path
) -> None:
    """Below the space to be kept free every object gets 0xA700 and leaves no byte; with space again they are taken again."""
    store = NearlyFull(tmp_path / "nearly-full")
    node = listen(store=store, keep_free_megabytes=100)
    association = connect(node.port)
    store.free = (100 << 20) - 1
    answer = association.send_c_store(mammogram())
    assert (answer.Status, answer.ErrorComment) == (0xA700, "Not enough free space for images")
    assert [path for path in store.incoming.parent.rglob("*") if path.is_file()] == []
    assert node.received == []
    store.free = 100 << 20
    assert association.send_c_store(mammogram()).Status == 0x0000


def test_a_disk_that_fills_up_in_mid_object_refuses_it(store: ArtifactStore) -> None:
    """Where the disk is full in the middle of an object, the rest is dropped, the file goes, and the failure is told."""
    spooled = SpooledObject(store, 0, 1 << 30)
    full = os.open("/dev/full", os.O_WRONLY)
    assert spooled._file is not None
    os.dup2(full, spooled._file._file.fileno())
    os.close(full)
    for _ in range(10):
        spooled.write(bytes(1 << 20))
    with pytest.raises(OSError, match="No space left") as failure:
        spooled.finish()
    assert failure.value.errno == errno.ENOSPC
    assert list(store.incoming.iterdir()) == []


def test_a_vanished_spool_folder_is_a_failure_and_heals(
    listen: Callable, connect: Callable, mammogram: Callable[..., Dataset], store: ArtifactStore
) -> None:
    """Where files cannot be made the sender gets 0x0110; once they can, its next try succeeds, without a restart."""
    association = connect(listen().port)
    store.incoming.rmdir()
    assert association.send_c_store(mammogram()).Status == 0x0110
    store.incoming.mkdir()
    assert association.send_c_store(mammogram()).Status == 0x0000
