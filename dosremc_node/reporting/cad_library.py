"""The images of a CAD report, with what a workstation wants to know of each to lay marks on it (PS3.16 TID 4020)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from highdicom.sr import (
    CodeContentItem,
    ContentItem,
    DateContentItem,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    TextContentItem,
    TimeContentItem,
)
from pydicom.dataset import Dataset

from dosremc_node.records import ImageHeader, StudyImage
from dosremc_node.reporting import codes
from dosremc_node.reporting.content_items import below
from dosremc_node.reporting.image_header import date_of, imager_pixel_spacing, patient_orientation, time_of
from dosremc_node.reporting.patient import read_header

_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT


_KEYWORDS = ("PatientOrientation", "ImagerPixelSpacing", "StudyDate", "StudyTime", "ContentDate", "ContentTime")


def library_entry(image: StudyImage, path: Path | None) -> ImageContentItem:
    """The image, and below it what its header says; what the header lacks, or has in no valid form, is left out.

    Without a ``path``, because the image was removed, it is what the ledger remembers.
    """
    header = read_header(path, *_KEYWORDS) if path else Dataset()
    # highdicom wants a purpose of reference; the template's images have none.
    entry = ImageContentItem(
        codes.SOURCE_IMAGE, image.header.sop_class_uid, image.header.sop_instance_uid, relationship_type=RelationshipTypeValues.CONTAINS
    )
    del entry.ConceptNameCodeSequence
    return below(entry, *_view(image.header), *_orientation(header), *_dates(header), *_spacing(header))


def _view(header: ImageHeader) -> Iterable[ContentItem]:
    if header.laterality is not None:
        yield CodeContentItem(codes.IMAGE_LATERALITY, codes.BREAST[header.laterality], _CONTEXT)
    if header.view in codes.VIEW:
        yield CodeContentItem(codes.IMAGE_VIEW, codes.VIEW[header.view], _CONTEXT)


def _orientation(header: Dataset) -> Iterable[ContentItem]:
    if directions := patient_orientation(header):
        yield TextContentItem(codes.PATIENT_ORIENTATION_ROW, directions[0], _CONTEXT)
        yield TextContentItem(codes.PATIENT_ORIENTATION_COLUMN, directions[1], _CONTEXT)


def _dates(header: Dataset) -> Iterable[ContentItem]:
    for keyword, date_name, time_name in (
        ("Study", codes.STUDY_DATE, codes.STUDY_TIME),
        ("Content", codes.CONTENT_DATE, codes.CONTENT_TIME),
    ):
        if date := date_of(header, f"{keyword}Date"):
            yield DateContentItem(date_name, date, _CONTEXT)
        if (time := time_of(header, f"{keyword}Time")) is not None:
            yield TimeContentItem(time_name, time, _CONTEXT)


def _spacing(header: Dataset) -> Iterable[ContentItem]:
    """Imager Pixel Spacing is that of rows first, which is the vertical one."""
    if spacing := imager_pixel_spacing(header):
        yield NumContentItem(codes.HORIZONTAL_PIXEL_SPACING, spacing[1], codes.MILLIMETER, relationship_type=_CONTEXT)
        yield NumContentItem(codes.VERTICAL_PIXEL_SPACING, spacing[0], codes.MILLIMETER, relationship_type=_CONTEXT)
