"""The exam report as Encapsulated PDF, for whatever shows documents and no structured reports (PS3.3 A.45.1)."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from dosremc_node.records import Document, DocumentKind
from dosremc_node.reporting import codes, wording
from dosremc_node.reporting.document import Case, Draft, coded, document_references, finish
from dosremc_node.reporting.page import Line, Page, typeset
from dosremc_node.reporting.patient import text_of
from dosremc_node.reporting.summary import summary_content

_TITLE: Final = f"AI {codes.DIAGNOSTIC_IMAGING_REPORT.meaning}: Mammography"
_PERSON: Final = {
    "PatientName": "Patient",
    "PatientID": "Patient ID",
    "PatientBirthDate": "Date of birth",
    "PatientSex": "Sex",
    "AccessionNumber": "Accession number",
    "StudyDate": "Date of the study",
    "StudyDescription": "Study",
}
_STATE: Final = "UNVERIFIED"
_LONGEST, _LONGEST_IN_FOOTER = 300, 50
"""Characters of a value that are printed: hostile headers have names of 64 KB, which no page can hold."""


def pdf_report(case: Case) -> Document:
    """What the summary report says, set in type under the woman's name in her own script."""
    person = _person(case)
    pages = typeset(Page(_TITLE, _STATE, person, summary_content(case), _footer(case, person)))
    content = Dataset()
    content.ConversionType = "WSD"
    content.BurnedInAnnotation = "YES"
    content.SourceInstanceSequence = case.references()
    if case.predecessors:
        content.PredecessorDocumentsSequence = document_references(case.predecessors)
    content.DocumentTitle = _TITLE
    content.ConceptNameCodeSequence = [coded(codes.DIAGNOSTIC_IMAGING_REPORT)]
    content.VerificationFlag = _STATE
    content.AcquisitionDateTime = ""
    content.MIMETypeOfEncapsulatedDocument = "application/pdf"
    content.EncapsulatedDocumentLength = len(pages)
    content.add_new("EncapsulatedDocument", "OB", pages + b"\0" * (len(pages) % 2))
    description = wording.pdf_description(case.assessment)
    return finish(case, Draft(DocumentKind.PDF, description, content, 0, sop_class_uid=str(EncapsulatedPDFStorage), modality="DOC"))


def _person(case: Case) -> list[Line]:
    return [(name, _readable(text_of(case.identity, keyword)) or "not given") for keyword, name in _PERSON.items()]


def _readable(value: str) -> str:
    """Dates as 1960-01-01, names without carets, each of their representations (PS3.5 6.2.1) after the other."""
    if date := re.fullmatch(r"(\d{4})(\d\d)(\d\d)", value):
        return "-".join(date.groups())
    groups = [" ".join(part for part in group.split("^") if part) for group in value.split("=")]
    return unicodedata.normalize("NFC", " / ".join(group for group in groups if group))[:_LONGEST]


def _footer(case: Case, person: list[Line]) -> list[str]:
    """What a page needs that was parted from the others: whose it is, what it is worth, which report it is of."""
    revision, (name, patient_id) = case.revision, [value[:_LONGEST_IN_FOOTER] for _, value in person[:2]]
    return [
        f"{name}, {patient_id}",
        f"{_STATE}. {wording.RESEARCH_USE}",
        f"Release {case.release.release_id}, revision {revision.number}, {revision.opened_at:%Y-%m-%d %H:%M} UTC",
    ]
