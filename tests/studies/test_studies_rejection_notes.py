"""What a key object is read as (IHE RAD TF, profile IOCM)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from harness.rejections import rejection_note
from pydicom import dcmread

from dosremc_node.errors import NotDicom
from dosremc_node.records import Laterality, RejectionReason, View
from dosremc_node.simulation import VENDORS, Order, simulate_view
from dosremc_node.studies import read_rejection_note


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    order = Order(1, VENDORS["A"], binning=32.0)
    return [simulate_view(order, Laterality.LEFT, view).content for view in (View.CC, View.MLO)]


@pytest.mark.parametrize("reason", list(RejectionReason))
def test_each_title_is_its_reason(images: list[bytes], reason: RejectionReason, tmp_path: Path) -> None:
    """Every image of the note is named with its study, once."""
    content, uid = rejection_note(images, reason)
    (tmp_path / "note.dcm").write_bytes(content)
    note = read_rejection_note(tmp_path / "note.dcm")
    assert note is not None
    assert (note.sop_instance_uid, note.reason) == (uid, reason)
    headers = [dcmread(BytesIO(image)) for image in images]
    assert sorted(note.rejected) == sorted((str(each.StudyInstanceUID), str(each.SOPInstanceUID)) for each in headers)


def test_another_title_rejects_nothing(images: list[bytes], tmp_path: Path) -> None:
    """A key object Of Interest is none of our concern, and neither is the same number in a scheme that is not DICOM's."""
    content, _ = rejection_note(images, "113000")
    (tmp_path / "interest.dcm").write_bytes(content)
    assert read_rejection_note(tmp_path / "interest.dcm") is None
    dataset = dcmread(BytesIO(rejection_note(images)[0]))
    dataset.ConceptNameCodeSequence[0].CodingSchemeDesignator = "99LOCAL"
    dataset.save_as(tmp_path / "local.dcm")
    assert read_rejection_note(tmp_path / "local.dcm") is None


def test_a_note_with_nothing_in_its_evidence_names_nothing(images: list[bytes], tmp_path: Path) -> None:
    """Broken evidence is read as far as it goes, and never ends in an error of the library's."""
    dataset = dcmread(BytesIO(rejection_note(images)[0]))
    reference = dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    reference.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = ""
    dataset.save_as(tmp_path / "half.dcm")
    half = read_rejection_note(tmp_path / "half.dcm")
    assert half is not None
    assert len(half.rejected) == 1
    del dataset.CurrentRequestedProcedureEvidenceSequence
    dataset.save_as(tmp_path / "empty.dcm")
    empty = read_rejection_note(tmp_path / "empty.dcm")
    assert empty is not None
    assert empty.rejected == ()


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """It might be a note, so its sender must not hear Success."""
    (tmp_path / "note.dcm").write_bytes(b"no DICOM")
    with pytest.raises(NotDicom):
        read_rejection_note(tmp_path / "note.dcm")
