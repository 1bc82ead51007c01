"""The exam report as Encapsulated PDF, read by Poppler, which nobody here wrote."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness.documents import items, read

from dosremc_node.records import Document, DocumentKind, ScannerKey

PDF = (DocumentKind.PDF,)
Poppler = Callable[..., str]


@pytest.fixture
def poppler(tmp_path: Path) -> Poppler:
    """A function that gives a document's PDF to one of Poppler's programs and returns what that says."""

    def run(program: str, document: Document, *arguments: str) -> str:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: poppler-utils)")
        dataset, path = read(document), tmp_path / "report.pdf"
        path.write_bytes(dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength])
        output = ["-"] if program == "pdftotext" else []
        run = subprocess.run([program, *arguments, path, *output], capture_output=True, check=True)
        assert not run.stderr
        return run.stdout.decode("latin-1" if program == "pdftoppm" else "utf-8")

    return run


def squeezed(text: str) -> str:
    """Without white space: where a line breaks is the page's affair."""
    return re.sub(r"\s+", "", text)


def pdf_of(exam: Any) -> Document:
    (document,) = exam.render(kinds=PDF)
    return document


def pdfs(filed: Sequence[Any]) -> list[Any]:
    return [each for each in filed if each.document.kind is DocumentKind.PDF]


def test_the_page_says_all_that_the_summary_says(filed: Sequence[Any], poppler: Poppler) -> None:
    """Every name, sentence, code and number of the summary stands in the PDF of the same exam, and research use and state do."""
    for each in pdfs(filed):
        said = squeezed(poppler("pdftotext", each.document))
        (summary,) = each.exam.render(kinds=[DocumentKind.SUMMARY])
        for _, item in items(read(summary)):
            if item.ValueType == "IMAGE":
                continue
            assert squeezed(item.ConceptNameCodeSequence[0].CodeMeaning) in said, each.name
            if item.ValueType == "TEXT":
                assert squeezed(item.TextValue) in said, each.name
            if item.ValueType == "CODE":
                assert squeezed(item.ConceptCodeSequence[0].CodeMeaning) in said, each.name
            if item.ValueType == "NUM":
                assert f"{item.MeasuredValueSequence[0].NumericValue}%" in said, each.name
        assert "UNVERIFIED.Researchuseonly" in said


@pytest.mark.parametrize("name", ["japanese", "greek", "german", "utf-8"])
def test_a_name_is_readable_in_its_own_script(extreme_exams: dict[str, Any], poppler: Poppler, name: str) -> None:
    """Each part of the name comes out of the page as it went in, and no font is left to the reader's machine."""
    document = pdf_of(extreme_exams[name])
    said = poppler("pdftotext", document)
    parts = [part for group in str(read(document).PatientName).split("=") for part in group.split("^")]
    assert len(parts) > 1
    assert all(part in said for part in parts)
    fonts = poppler("pdffonts", document).splitlines()[2:]
    assert fonts
    assert all(re.search(r" yes +yes +yes ", font) for font in fonts), fonts


def test_the_letters_are_drawn(make_exam: Callable[..., Any], poppler: Poppler) -> None:
    """Two pages that differ in one Japanese sign differ where the name stands, above and below, and nowhere else."""
    exams = [make_exam(SpecificCharacterSet="ISO_IR 192", PatientName=f"Yamada={sign}") for sign in "\u5c71\u5ddd"]
    one, other = (poppler("pdftoppm", pdf_of(exam), "-gray", "-r", "60") for exam in exams)
    width, height = map(int, one.split()[1:3])
    rows = [place // width for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    assert 10 < len(rows) < 400
    assert {row * 4 // height for row in rows} == {0, 3}


def test_a_report_without_result_has_no_number(extreme_exams: dict[str, Any], poppler: Poppler) -> None:
    """Where nothing may be shown there is no probability on the page, and it says why."""
    for name in ("unknown-scanner", "nothing-decoded"):
        said = poppler("pdftotext", pdf_of(extreme_exams[name]))
        assert "%" not in said
        assert "NOT ASSESSED" in said
        assert "do not read this as negative" in " ".join(said.split())


@pytest.mark.parametrize(
    "value", ["A" * 60000, "\x01<b>&amp;</font>\x1b^\x7f", "\u05db\u05d4\u05df^\u0645\u062d\u0645\u062f", "\u0645" * 3000]
)
def test_a_hostile_name_costs_no_report(make_exam: Callable[..., Any], poppler: Poppler, value: str) -> None:
    """However long it is, whatever signs are in it: the report is made, and all of it can be read."""
    exam = make_exam(SpecificCharacterSet="ISO_IR 192", PatientName=value)
    said = poppler("pdftotext", pdf_of(exam))
    assert "AI RESULT: POSITIVE" in said
    assert "P-1" in said


@pytest.mark.parametrize("maker", ["M" * 12000, "maker " * 2000])
def test_a_hostile_scanner_costs_no_report(make_exam: Callable[..., Any], poppler: Poppler, maker: str) -> None:
    """A line that is longer than a page goes on over the next ones, and what follows it is still there."""
    exam = make_exam()
    exam.plan(scanner=ScannerKey(maker, "a model", "1.0"))
    said = squeezed(poppler("pdftotext", pdf_of(exam)))
    assert said.count("M" if maker.isupper() else "maker") >= (12000 if maker.isupper() else 2000)
    assert "amodel/1.0" in said
    assert exam.release.filters_sha256 in said


def test_each_of_many_pages_says_whose_it_is(make_exam: Callable[..., Any], poppler: Poppler) -> None:
    """An exam of sixty views goes on over several pages; each has the name, the research-use line and its number."""
    exam = make_exam(("L CC",) * 60, (0.5,) * 60)
    pages = poppler("pdftotext", pdf_of(exam)).split("\f")[:-1]
    assert len(pages) > 1
    for number, page in enumerate(pages, start=1):
        assert "Doe Jane, P-1" in page
        assert "UNVERIFIED. Research use only" in page
        assert f"Page {number}" in page


def test_the_same_revision_gives_the_same_bytes(extreme_exams: dict[str, Any]) -> None:
    """Rendered again, after pages with other letters, a PDF is the same to the last bit; another revision is another document."""
    names = ("japanese", "greek", "utf-8", "positive", "second-revision")
    first = {name: pdf_of(extreme_exams[name]) for name in names}
    assert {name: pdf_of(extreme_exams[name]) for name in reversed(names)} == first
    assert first["positive"].sop_instance_uid != first["second-revision"].sop_instance_uid


def test_the_object_says_what_it_is(make_exam: Callable[..., Any]) -> None:
    """Title, concept and description, burnt-in annotation, no verification, and every image that it is of."""
    exam = make_exam()
    dataset = read(pdf_of(exam))
    assert (dataset.Modality, dataset.MIMETypeOfEncapsulatedDocument) == ("DOC", "application/pdf")
    assert (dataset.BurnedInAnnotation, dataset.VerificationFlag) == ("YES", "UNVERIFIED")
    assert dataset.DocumentTitle == "AI Diagnostic Imaging Report: Mammography"
    assert dataset.ConceptNameCodeSequence[0].CodeValue == "18748-4"
    assert dataset.SeriesDescription == "AI PDF POSITIVE 67 %"
    assert {each.ReferencedSOPInstanceUID for each in dataset.SourceInstanceSequence} == set(exam.headers)
    assert dataset.EncapsulatedDocument.startswith(b"%PDF-")


def test_a_later_revision_names_what_it_supersedes(extreme_exams: dict[str, Any]) -> None:
    """Predecessor Documents (PS3.3 C.24.2), as in the structured reports; the first revision has none."""
    exam = extreme_exams["second-revision"]
    assert "PredecessorDocumentsSequence" not in read(pdf_of(extreme_exams["positive"]))
    (study,) = read(pdf_of(exam)).PredecessorDocumentsSequence
    named = {instance.ReferencedSOPInstanceUID for series in study.ReferencedSeriesSequence for instance in series.ReferencedSOPSequence}
    assert named == {each.sop_instance_uid for each in exam.predecessors}


def test_what_people_type_into_a_release_stays_on_the_page(make_exam: Callable[..., Any], poppler: Poppler) -> None:
    """Signs that mean something to the typesetter are printed as they are."""
    exam = make_exam()
    exam.release = replace(exam.release, statement="Not for <women> under 40 & over 74.")
    assert "Not for <women> under 40 & over 74." in " ".join(poppler("pdftotext", pdf_of(exam)).split())
