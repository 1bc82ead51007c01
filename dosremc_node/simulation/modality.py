"""A simulated modality: it sends files by C-STORE over one association, and reports every status."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from dosremc_node.errors import NotDicom, PeerRefused, PeerUnreachable

MAXIMUM_PDU = 131072
File = Path | bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """What the peer answered to one file: the DIMSE status (PS3.4 B.2.3), None where no answer came."""

    sop_instance_uid: str
    status: int | None

    @property
    def accepted(self) -> bool:
        """Success, or a warning, which also means that the peer has it."""
        return self.status is not None and (self.status == 0 or self.status >> 12 == 0xB)


def send(
    sources: Sequence[File], host: str, port: int, *, called: str, calling: str = "MODALITY", progress: Callable[[Sent], None] | None = None
) -> list[Sent]:
    """Send Part 10 files (paths or bytes) in order, as they are encoded; ``progress`` hears each answer as it comes.

    Raises `PeerUnreachable`, `PeerRefused` (association or presentation context), `NotDicom`.
    """
    contexts = {_context(source) for source in sources}
    answers = []
    with _association(contexts, host, port, called, calling) as association:
        for source in sources:
            answer = _store(association, source)
            answers.append(answer)
            if progress is not None:
                progress(answer)
    return answers


@contextmanager
def _association(contexts: set[tuple[str, str]], host: str, port: int, called: str, calling: str) -> Iterator[Association]:
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    entity.connection_timeout = 10
    for sop_class, transfer_syntax in sorted(contexts):
        entity.add_requested_context(sop_class, transfer_syntax)
    association = entity.associate(host, port, ae_title=called, max_pdu=MAXIMUM_PDU)
    if association.is_rejected:
        raise PeerRefused(peer=called, why="the association was rejected; check the called and calling AE titles")
    if association.rejected_contexts and not association.is_established:
        raise PeerRefused(peer=called, why="it accepts none of the kinds of object, or of their transfer syntaxes")
    if not association.is_established:
        raise PeerUnreachable(peer=called, host=host, port=port, ae_title=called, why="no association was established")
    try:
        yield association
    finally:
        association.release()


def _store(association: Association, source: File) -> Sent:
    dataset = _read(source)
    try:
        status = association.send_c_store(dataset)
    except ValueError as error:
        raise PeerRefused(peer=association.acceptor.ae_title, why="no presentation context was accepted for one of the files") from error
    return Sent(str(dataset.SOPInstanceUID), status.Status if "Status" in status else None)


def _context(source: File) -> tuple[str, str]:
    header = _read(source, header_only=True)
    return str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)


def _read(source: File, *, header_only: bool = False) -> Dataset:
    try:
        return dcmread(BytesIO(source) if isinstance(source, bytes) else source, stop_before_pixels=header_only)
    except Exception as error:  # pydicom raises many kinds; what it says may quote the header
        raise NotDicom(why="the file cannot be read") from error
