"""Asking a PACS: whether it is there (C-ECHO), and what it has (C-FIND, Study Root; PS3.4 C.6.2)."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification  # type: ignore[attr-defined]

from dosremc_node.delivery import dicomweb
from dosremc_node.delivery.association import associate
from dosremc_node.errors import PeerRefused, PeerUnreachable
from dosremc_node.records import FoundInstance
from dosremc_node.settings import Destination

_PENDING = (0xFF00, 0xFF01)


def echo(peer: Destination, calling_ae_title: str) -> None:
    """C-ECHO, or a query of a DICOMweb service. Raises `PeerUnreachable` or `PeerRefused`, which say why."""
    if peer.dicomweb is not None:
        dicomweb.reach(peer)
    if not peer.host:
        return
    with associate(peer, calling_ae_title, [Verification]) as association:
        answer = association.send_c_echo()
        if "Status" not in answer:
            raise _silent(peer)
        if answer.Status != 0:
            raise PeerRefused(peer=peer.name, why=f"C-ECHO was answered with 0x{answer.Status:04X}")


def found_on(peer: Destination, calling_ae_title: str, study_instance_uid: str) -> list[FoundInstance]:
    """Every instance that the PACS says it has of a study, series by series; none where it does not know the study.

    Raises `PeerUnreachable` or `PeerRefused`.
    """
    with associate(peer, calling_ae_title, [StudyRootQueryRetrieveInformationModelFind]) as association:
        series_query = _query("SERIES", StudyInstanceUID=study_instance_uid, SeriesInstanceUID="", SeriesDescription="", Modality="")
        found = []
        for series in _find(peer, association, series_query):
            keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": _text(series, "SeriesInstanceUID")}
            image_query = _query("IMAGE", **keys, SOPInstanceUID="", SOPClassUID="")
            found += [_found(series, image) for image in _find(peer, association, image_query)]
        return found


def has_instance(
    peer: Destination, calling_ae_title: str, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str
) -> bool:
    """Whether the PACS says it has this very instance. Raises `PeerUnreachable` or `PeerRefused`."""
    keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": series_instance_uid, "SOPInstanceUID": sop_instance_uid}
    with associate(peer, calling_ae_title, [StudyRootQueryRetrieveInformationModelFind]) as association:
        answers = list(_find(peer, association, _query("IMAGE", **keys)))
    return any(_text(answer, "SOPInstanceUID") == sop_instance_uid for answer in answers)


def _query(level: str, **keys: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query


def _find(peer: Destination, association: Association, query: Dataset) -> Iterator[Dataset]:
    for status, identifier in list(association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)):
        if "Status" not in status:
            raise _silent(peer)
        if status.Status in _PENDING and identifier is not None:
            yield identifier
        elif status.Status != 0:
            raise PeerRefused(peer=peer.name, why=f"C-FIND was answered with 0x{status.Status:04X}")


def _found(series: Dataset, image: Dataset) -> FoundInstance:
    return FoundInstance(
        sop_class_uid=_text(image, "SOPClassUID"),
        sop_instance_uid=_text(image, "SOPInstanceUID"),
        series_instance_uid=_text(series, "SeriesInstanceUID"),
        series_description=_text(series, "SeriesDescription"),
        modality=_text(series, "Modality"),
    )


def _text(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword) or "")


def _silent(peer: Destination) -> PeerUnreachable:
    why = f"it gave no answer within {peer.timeout_seconds:g} s, or ended the association"
    return PeerUnreachable(peer=peer.name, host=peer.host, port=peer.port, ae_title=peer.ae_title, why=why)
