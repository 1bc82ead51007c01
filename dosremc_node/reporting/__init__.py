"""Reporting: from what the model says of a study to the DICOM documents that a radiologist opens beside the images.

Each kind of document is made in a file of its own; destinations choose among the kinds. Patient and study are copied
from the images byte by byte, UIDs follow from the revision, and the same input gives the same bytes (promise 4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from dosremc_node.libraries import settle_dicom_libraries
from dosremc_node.records import (
    DEFAULT_DOCUMENTS,
    Assessment,
    Document,
    DocumentKind,
    ImageScore,
    PredecessorDocument,
    Release,
    StudyRevision,
)
from dosremc_node.reporting.cad import cad_report
from dosremc_node.reporting.capture import capture
from dosremc_node.reporting.document import Case, Pictures
from dosremc_node.reporting.identity import document_uid, series_uid
from dosremc_node.reporting.patient import read_identity
from dosremc_node.reporting.pdf import pdf_report
from dosremc_node.reporting.presentation_state import presentation_state
from dosremc_node.reporting.region import region_report
from dosremc_node.reporting.rejection_note import naming, rejection_note
from dosremc_node.reporting.rendition import rendition
from dosremc_node.reporting.saliency import saliency_map
from dosremc_node.reporting.summary import summary_report

settle_dicom_libraries()

__all__ = ["document_uid", "naming", "render", "rendition", "series_uid"]


def render(
    revision: StudyRevision,
    assessment: Assessment,
    release: Release,
    node_name: str,
    headers: Mapping[str, Path],
    *,
    kinds: Collection[DocumentKind] = DEFAULT_DOCUMENTS,
    predecessors: Sequence[PredecessorDocument] = (),
    pictures: Pictures | None = None,
) -> tuple[Document, ...]:
    """A revision's documents of the ``kinds`` that are asked for, in the order of `DocumentKind`.

    Summary, CAD report and PDF are of the whole study, the others of each positive image where scores may be shown.
    ``headers`` leads from SOP Instance UID to a local copy of the received image, but for images that were never to be scored and
    are there no more. ``predecessors`` are the documents of the
    revision that this one supersedes; each new document names them all. ``pictures`` are what captures are drawn from. Raises `KeyError`
    where an image has no path, and `ValueError` where captures are asked for without pictures.
    """
    first = next(image.header.sop_instance_uid for image in revision.plan.images if image.header.sop_instance_uid in headers)
    case = Case(revision, assessment, release, node_name, read_identity(headers[first]), headers, predecessors, pictures)
    return tuple(document for kind in DocumentKind if kind in kinds for document in _MAKERS[kind](case))


def _of_each_image(make: Callable[[Case, ImageScore, int], Document | None]) -> Callable[[Case], Sequence[Document]]:
    return lambda case: [made for place, score in enumerate(case.marked, start=1) if (made := make(case, score, place))]


_MAKERS: Final[Mapping[DocumentKind, Callable[[Case], Sequence[Document]]]] = {
    DocumentKind.SUMMARY: lambda case: [summary_report(case)],
    DocumentKind.REGION: _of_each_image(region_report),
    DocumentKind.CAD: lambda case: [cad_report(case)],
    DocumentKind.CAPTURE: _of_each_image(capture),
    DocumentKind.PRESENTATION_STATE: _of_each_image(presentation_state),
    DocumentKind.PDF: lambda case: [pdf_report(case)],
    DocumentKind.SALIENCY: _of_each_image(saliency_map),
    DocumentKind.REJECTION_NOTE: rejection_note,
}
