"""Rejection notes as a PACS or a modality writes them (highdicom's key objects)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

TITLES: Mapping[str, Code] = {
    "113001": Code("113001", "DCM", "Rejected for Quality Reasons"),
    "113037": Code("113037", "DCM", "Rejected for Patient Safety Reasons"),
    "113038": Code("113038", "DCM", "Incorrect Modality Worklist Entry"),
    "113039": Code("113039", "DCM", "Data Retention Policy Expired"),
    "113000": codes.DCM.OfInterest,
}


def rejection_note(images: Sequence[bytes], title: str = "113001", uid: str | None = None, **changes: str) -> tuple[bytes, str]:
    """A key object that names these images, and its SOP Instance UID; ``changes`` are made to what it says of each image."""
    named = [_with(dcmread(BytesIO(content), stop_before_pixels=True), changes) for content in images]
    uid = uid or generate_uid()
    document = KeyObjectSelectionDocument(
        evidence=named,
        content=KeyObjectSelection(document_title=TITLES[title], referenced_objects=named),
        series_instance_uid=generate_uid(),
        series_number=99,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer="PACS",
        institution_name=None,
        institutional_department_name=None,
    )
    buffer = BytesIO()
    document.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue(), uid


def _with(dataset: Dataset, changes: Mapping[str, str]) -> Dataset:
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset
