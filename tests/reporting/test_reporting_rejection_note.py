"""The rejection note: what it names, under which title, and as whom."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from harness.documents import DCENTVFY, DCIODVFY, evidence, items, name_of, read
from highdicom.ko import KeyObjectSelectionDocument
from pydicom.uid import EnhancedSRStorage

from dosremc_node.records import Document, DocumentKind, NotAssessedReason, PredecessorDocument, RejectionReason
from dosremc_node.reporting import naming, rendition
from dosremc_node.simulation.pacs import Orthanc
from dosremc_node.studies import read_rejection_note

KINDS = tuple(DocumentKind)
ANOTHER_TABLE = "Different information entities for attribute - Element=<AccessionNumber>"
"""Its tables have the Accession Number in the series of a key object and in the study of everything else."""


@pytest.fixture(scope="module")
def second_revision(make_exam: Callable[..., Any]) -> Any:
    """The second revision of an exam; its ``predecessors`` are what the first one had."""
    exam = make_exam()
    study = exam.revision.who.study_instance_uid
    exam.earlier = exam.render(kinds=KINDS)
    exam.predecessors = [predecessor(each, study) for each in exam.earlier]
    exam.revision = replace(exam.revision, number=2, predecessor=1)
    return exam


def predecessor(document: Document, study: str) -> PredecessorDocument:
    return PredecessorDocument(document.sop_class_uid, document.sop_instance_uid, document.series_instance_uid, study)


def note_of(exam: Any) -> Document:
    (note,) = exam.render(kinds=[DocumentKind.REJECTION_NOTE])
    return note


def uids(documents: Sequence[Any]) -> set[str]:
    return {each.sop_instance_uid for each in documents}


def test_a_first_revision_rejects_nothing(make_exam: Callable[..., Any]) -> None:
    """There is nothing that it could supersede."""
    assert make_exam().render(kinds=[DocumentKind.REJECTION_NOTE]) == ()


def test_a_report_that_sends_its_reader_to_the_earlier_one_rejects_nothing(second_revision: Any) -> None:
    """Where images had been removed, the earlier report is the only one with a score: a PACS must not hide it. A withdrawn image outweighs that."""
    plan = replace(second_revision.revision.plan, not_assessed=NotAssessedReason.IMAGES_REMOVED)
    for withdrawn, notes in (((), 0), (plan.images[:1], 1)):
        revision = replace(second_revision.revision, plan=replace(plan, withdrawn=withdrawn))
        documents = replace(second_revision, revision=revision).render(kinds=KINDS)
        assert [each.kind for each in documents].count(DocumentKind.REJECTION_NOTE) == notes


def test_it_rejects_every_document_of_the_revision_before(second_revision: Any, tmp_path: Path) -> None:
    """Read by highdicom, and by what the node itself understands of the notes of others: title, and the same set in tree and evidence."""
    note = note_of(second_revision)
    (tmp_path / "note.dcm").write_bytes(note.content)
    understood = read_rejection_note(tmp_path / "note.dcm")
    assert understood is not None
    assert understood.reason is RejectionReason.QUALITY
    assert {instance for _, instance in understood.rejected} == evidence(read(note)) == uids(second_revision.earlier)
    document = KeyObjectSelectionDocument.from_dataset(read(note))
    assert {item.referenced_sop_instance_uid for item in document.content.get_references()} == uids(second_revision.earlier)
    assert [document.resolve_reference(each.sop_instance_uid)[0] for each in second_revision.earlier]
    images = {item.referenced_sop_instance_uid for item in document.content.get_references() if item.ValueType == "IMAGE"}
    assert images == {each.sop_instance_uid for each in second_revision.earlier if "Rows" in read(each)}


def test_its_title_says_more_closely_that_they_are_superseded(second_revision: Any) -> None:
    """Not that their quality is bad; and the research-use line stands in it, as in every document."""
    found = dict[str, Any]()
    for _, item in items(read(note_of(second_revision))):
        if "ConceptNameCodeSequence" in item:
            found.setdefault(name_of(item)[0], item)
    assert found["113011"].ConceptCodeSequence[0].CodeMeaning == "Superseded by a later revision"
    assert found["113012"].TextValue.startswith(
        "These earlier AI documents of the study are superseded by its revision 2. Research use only"
    )


def test_the_same_revision_gives_the_same_note(second_revision: Any) -> None:
    """Promise 4, of the note itself and of the one for a destination that holds something else."""
    note, held = note_of(second_revision), second_revision.predecessors[:2]
    assert note_of(second_revision) == note
    assert naming(note, held) == naming(note, held)
    assert naming(note, second_revision.predecessors) == note
    different = {naming(note, held[:1]).sop_instance_uid, naming(note, held).sop_instance_uid, note.sop_instance_uid}
    assert len(different) == 3


def test_a_destination_is_told_of_what_it_holds_alone(second_revision: Any) -> None:
    """Of what it got under another class, and not of what it never got."""
    study = second_revision.revision.who.study_instance_uid
    held = predecessor(rendition(second_revision.earlier[0], str(EnhancedSRStorage)), study)
    named = read(naming(note_of(second_revision), [held]))
    (reference,) = KeyObjectSelectionDocument.from_dataset(named).content.get_references()
    assert (reference.referenced_sop_class_uid, reference.referenced_sop_instance_uid) == (EnhancedSRStorage, held.sop_instance_uid)
    assert evidence(named) == {held.sop_instance_uid}
    (series,) = named.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert series.SeriesInstanceUID == held.series_instance_uid
    original = read(note_of(second_revision))
    changed = {element.keyword for element in named if original.get(element.tag) != element}
    assert changed == {"SOPInstanceUID", "SeriesInstanceUID", "ContentSequence", "CurrentRequestedProcedureEvidenceSequence"}


@pytest.mark.parametrize(
    "attributes", [{}, {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller-Weiß^Käthe"}, {"AccessionNumber": ""}]
)
def test_validators_find_no_fault(make_exam: Callable[..., Any], attributes: dict[str, Any], tmp_path: Path) -> None:
    """Dciodvfy no error in the notes; dcentvfy no contradiction between images, superseded documents and notes."""
    exam = make_exam(**attributes)
    earlier = exam.render()
    study = exam.revision.who.study_instance_uid
    exam.predecessors = [predecessor(each, study) for each in earlier]
    exam.revision = replace(exam.revision, number=2, predecessor=1)
    note = note_of(exam)
    paths = []
    for number, document in enumerate([*earlier, note, naming(note, exam.predecessors[:1])]):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(document.content)
    for path in paths[-2:]:
        said = subprocess.run([DCIODVFY, path], capture_output=True, text=True, check=False).stderr
        assert "KeyObjectSelectionDocument" in said
        assert "Error" not in said, said
    run = subprocess.run([DCENTVFY, *exam.headers.values(), *paths], capture_output=True, text=True, check=False)
    assert [line for line in (run.stdout + run.stderr).splitlines() if ANOTHER_TABLE not in line] == []


def test_dcmtk_reads_it(second_revision: Any, dcmtk: Callable[[str], str], tmp_path: Path) -> None:
    """It checks the tree against the document type."""
    path = tmp_path / "note.dcm"
    path.write_bytes(note_of(second_revision).content)
    run = subprocess.run([dcmtk("dsrdump"), path], capture_output=True, check=False)
    said = run.stderr.decode() + run.stdout.decode()
    assert run.returncode == 0, said
    assert "Rejected for Quality Reasons" in said
    assert not [line for line in said.splitlines() if line.startswith(("E:", "F:"))], said


def test_orthanc_stores_it(second_revision: Any, orthanc: Orthanc, dcmtk: Callable[[str], str], tmp_path: Path) -> None:
    """It is indexed as a key object of the study, and comes back as it was sent."""
    note, path = note_of(second_revision), tmp_path / "note.dcm"
    path.write_bytes(note.content)
    subprocess.run([dcmtk("dcmsend"), "-aec", orthanc.ae_title, orthanc.host, str(orthanc.port), path], check=True, capture_output=True)
    kept = {each["MainDicomTags"]["SOPInstanceUID"]: each["ID"] for each in json.loads(orthanc._request("GET", "/instances?expand"))}
    assert pydicom.dcmread(BytesIO(orthanc.fetch(kept[note.sop_instance_uid]))) == read(note)
    series = json.loads(orthanc._request("GET", f"/instances/{kept[note.sop_instance_uid]}/series"))["MainDicomTags"]
    assert (series["Modality"], series["SeriesDescription"]) == ("KO", note.description)
