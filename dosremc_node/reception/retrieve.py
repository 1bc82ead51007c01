"""Ask a PACS which mammography studies it has (C-FIND), and to send one (C-MOVE): PS3.4 Annex C, Study Root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association

from dosremc_node.errors import PeerRefused, PeerUnreachable
from dosremc_node.peers import connection_problem, tls_context, unreachable
from dosremc_node.reception.connection import close_at_end
from dosremc_node.settings import Destination

STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
STUDY_ROOT_MOVE = UID("1.2.840.10008.5.1.4.1.2.2.2")
MAMMOGRAPHY = "MG"

# A PACS may first have to bring the images back from an archive.
_SILENCE_WHILE_MOVING_SECONDS = 600.0

_SUCCESS = 0x0000
_PENDING = (0xFF00, 0xFF01)
_SOME_FAILED = 0xB000
_MOVE_DESTINATION_UNKNOWN = 0xA801


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study that a PACS has. It identifies the woman: for the screen of the person who asked, never for a log."""

    study_instance_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    accession_number: str = field(repr=False)
    study_date: date | None
    modalities: tuple[str, ...]
    images: int | None
    """How many objects the PACS says it has, None where it does not say."""


@dataclass(frozen=True, slots=True)
class MoveProgress:
    """How far the PACS is with sending a study: numbers of objects."""

    remaining: int
    completed: int
    failed: int
    warning: int


def find_studies(
    peer: Destination,
    calling_ae_title: str,
    *,
    accession_number: str | None = None,
    patient_id: str | None = None,
    study_instance_uid: str | None = None,
    study_date: date | None = None,
) -> list[FoundStudy]:
    """The mammography studies of a PACS that match all of what is given (wildcards as in PS3.4 C.2.2.2).

    Studies of which the PACS does not tell the modalities are among them. Raises `PeerUnreachable`, `PeerRefused`.
    """
    query = _study_query(accession_number, patient_id, study_instance_uid, study_date)
    with associated(peer, calling_ae_title, STUDY_ROOT_FIND, peer.timeout_seconds) as association:
        found = [found_study(identifier) for identifier in matches(peer, association, query)]
    return [study for study in found if not study.modalities or MAMMOGRAPHY in study.modalities]


def move_study(peer: Destination, calling_ae_title: str, destination_ae_title: str, study_instance_uid: str) -> Iterator[MoveProgress]:
    """Have the PACS send a study to an AE title that it knows; gives its progress, the final state last.

    Objects that the PACS could not send are counted as failed. Raises `PeerUnreachable`, and `PeerRefused` where it
    does not know the AE title or moves nothing.
    """
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = study_instance_uid
    with associated(peer, calling_ae_title, STUDY_ROOT_MOVE, _SILENCE_WHILE_MOVING_SECONDS) as association:
        for answer, _ in association.send_c_move(query, destination_ae_title, STUDY_ROOT_MOVE):
            status = _status(peer, answer)
            if status == _MOVE_DESTINATION_UNKNOWN:
                raise PeerRefused(peer=peer.name, why=f"it has no address for the move destination {destination_ae_title}")
            if status not in (*_PENDING, _SUCCESS, _SOME_FAILED):
                raise PeerRefused(peer=peer.name, why=f"C-MOVE ended with status 0x{status:04X}")
            yield _progress(answer)


def _study_query(accession_number: str | None, patient_id: str | None, study_instance_uid: str | None, study_date: date | None) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = study_instance_uid or ""
    query.PatientID = patient_id or ""
    query.AccessionNumber = accession_number or ""
    query.StudyDate = study_date.strftime("%Y%m%d") if study_date else ""
    query.ModalitiesInStudy = MAMMOGRAPHY
    query.NumberOfStudyRelatedInstances = ""
    return query


def matches(peer: Destination, association: Association, query: Dataset) -> Iterator[Dataset]:
    """What a PACS answers to a query; raises `PeerRefused` with the status where it does not answer to the end."""
    for answer, identifier in association.send_c_find(query, STUDY_ROOT_FIND):
        status = _status(peer, answer)
        if status not in (*_PENDING, _SUCCESS):
            raise PeerRefused(peer=peer.name, why=f"C-FIND ended with status 0x{status:04X}")
        if status in _PENDING and identifier is not None:
            yield identifier


@contextmanager
def associated(peer: Destination, calling_ae_title: str, abstract_syntax: UID, silence_seconds: float) -> Iterator[Association]:
    """An association for queries, over TLS where the peer's settings say so, released at the end; raises `PeerUnreachable`, `PeerRefused`."""
    if problem := connection_problem(peer):
        raise unreachable(peer, problem)
    context = tls_context(peer)
    entity = AE(calling_ae_title)
    entity.connection_timeout = entity.acse_timeout = peer.timeout_seconds
    entity.dimse_timeout = entity.network_timeout = silence_seconds
    entity.add_requested_context(abstract_syntax)
    association = entity.associate(
        peer.host,
        peer.port,
        ae_title=peer.ae_title,
        evt_handlers=[(evt.EVT_CONN_OPEN, close_at_end)],
        tls_args=(context, peer.host) if context else None,
    )
    if not association.is_established:
        raise _not_established(peer, association)
    try:
        yield association
    except BaseException:  # whoever iterates may stop half-way, and then answers are still to come
        association.abort()
        raise
    association.release()


def _not_established(peer: Destination, association: Association) -> PeerRefused | PeerUnreachable:
    if association.is_rejected:
        return PeerRefused(peer=peer.name, why=f"association rejected: {association.acceptor.primitive.reason_str}")  # type: ignore[union-attr]
    if association.acceptor.primitive is not None:
        return PeerRefused(peer=peer.name, why="it does not offer Study Root query and retrieve")
    return unreachable(peer, "it does not answer the association request")


def _status(peer: Destination, answer: Dataset) -> int:
    if "Status" not in answer:
        raise unreachable(peer, "the association ended before the answer did")
    return int(answer.Status)


def _progress(answer: Dataset) -> MoveProgress:
    def number(of: str) -> int:
        return int(answer.get(f"NumberOf{of}Suboperations") or 0)

    return MoveProgress(number("Remaining"), number("Completed"), number("Failed"), number("Warning"))


def found_study(identifier: Dataset) -> FoundStudy:
    """A study as a PACS answers it."""
    modalities = identifier.get("ModalitiesInStudy") or ()
    return FoundStudy(
        study_instance_uid=str(identifier.get("StudyInstanceUID", "")),
        patient_id=str(identifier.get("PatientID") or ""),
        accession_number=str(identifier.get("AccessionNumber") or ""),
        study_date=_date(str(identifier.get("StudyDate") or "")),
        modalities=tuple(modalities) if isinstance(modalities, MultiValue) else (str(modalities),) if modalities else (),
        images=as_whole_number(identifier.get("NumberOfStudyRelatedInstances")),
    )


def _date(text: str) -> date | None:
    try:
        return datetime.strptime(text.strip(), "%Y%m%d").date()  # noqa: DTZ007 - a DICOM date has no time zone
    except ValueError:
        return None


def as_whole_number(value: object) -> int | None:
    return int(str(value)) if str(value).isdigit() else None
