"""What a key object is: a rejection note that withdraws images (IHE RAD TF-3 4.66, profile IOCM), or none of our concern."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dosremc_node.errors import NotDicom
from dosremc_node.records import RejectionNote, RejectionReason
from dosremc_node.studies.headers import read_dataset
from dosremc_node.studies.tags import items, text

_LONGEST_UID = 64


def is_key_object(sop_class_uid: str) -> bool:
    """Whether objects of the class are key object selection documents."""
    return sop_class_uid == KeyObjectSelectionDocumentStorage


def read_rejection_note(path: Path) -> RejectionNote | None:
    """The rejection note in a file; None where the key object has another title, such as Of Interest.

    What it rejects is what its evidence names (0040,A375), which holds study and instance of all. Raises `NotDicom`.
    """
    dataset = read_dataset(path)
    reason = _reason(dataset)
    if reason is None:
        return None
    sop_instance_uid = text(dataset, "SOPInstanceUID")
    if not _is_uid(sop_instance_uid):
        raise NotDicom(why="it is a rejection note without a SOP Instance UID")
    return RejectionNote(sop_instance_uid, reason, tuple(dict.fromkeys(_rejected(dataset))))


def _reason(dataset: Dataset) -> RejectionReason | None:
    for title in items(dataset, "ConceptNameCodeSequence"):
        code = text(title, "CodeValue")
        if text(title, "CodingSchemeDesignator") == "DCM" and code in set(RejectionReason):
            return RejectionReason(code)
    return None


def _rejected(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for study in items(dataset, "CurrentRequestedProcedureEvidenceSequence"):
        for series in items(study, "ReferencedSeriesSequence"):
            for instance in items(series, "ReferencedSOPSequence"):
                named = text(study, "StudyInstanceUID"), text(instance, "ReferencedSOPInstanceUID")
                if all(map(_is_uid, named)):
                    yield named


def _is_uid(value: str) -> bool:
    return 0 < len(value) <= _LONGEST_UID
