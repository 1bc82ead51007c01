"""From a file to what its header says."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pydicom
import pydicom.config
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError

from dosremc_node.errors import NotDicom
from dosremc_node.records import ImageHeader, PatientAndStudy, PresentationIntent, ScannerKey
from dosremc_node.studies import inflating, views
from dosremc_node.studies.eligibility import why_not_assessed
from dosremc_node.studies.tags import integer, items, text, texts

_FOR_PROCESSING = frozenset({uid.DigitalMammographyXRayImageStorageForProcessing, uid.DigitalXRayImageStorageForProcessing})


def read_header(path: Path) -> ImageHeader:
    """Read what the node needs to know of a file, without its pixels. Anything may be missing in it.

    Raises `NotDicom` where it is no DICOM file, or has no SOP Instance UID or Study Instance UID to be known by.
    """
    dataset = read_dataset(path)
    header = _header(dataset)
    if not header.sop_instance_uid or not header.who.study_instance_uid:
        raise NotDicom(why="it has no SOP Instance UID or no Study Instance UID")
    return replace(header, not_assessed=why_not_assessed(header, dataset))


def read_dataset(path: Path) -> FileDataset:
    """A file without its pixels; raises `NotDicom`."""
    try:
        inflating.refuse_bomb(path)
        return pydicom.dcmread(path, stop_before_pixels=True)
    except InvalidDicomError:
        raise NotDicom(why="it has no DICOM Part 10 header") from None
    except NotDicom:
        raise
    except OSError as error:
        if error.errno is None:  # pydicom's own, where the file ends too soon
            raise NotDicom(why="it ends too soon") from None
        raise
    # The named boundary: a broken file makes pydicom raise nearly anything, with the file's values in the text.
    except Exception as error:  # noqa: BLE001
        raise NotDicom(why=f"reading it ends in {type(error).__name__}") from None


def _header(dataset: FileDataset) -> ImageHeader:
    sop_class_uid = text(dataset, "SOPClassUID") or text(dataset.file_meta, "MediaStorageSOPClassUID")
    return ImageHeader(
        who=_who(dataset),
        sop_instance_uid=text(dataset, "SOPInstanceUID") or text(dataset.file_meta, "MediaStorageSOPInstanceUID"),
        sop_class_uid=sop_class_uid,
        series_instance_uid=text(dataset, "SeriesInstanceUID"),
        modality=text(dataset, "Modality").upper(),
        scanner=ScannerKey(*(text(dataset, keyword) for keyword in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions"))),
        laterality=views.laterality(dataset),
        view=views.view(dataset),
        view_modifiers=views.modifiers(dataset),
        intent=_intent(dataset, sop_class_uid),
        image_type=tuple(value.upper() for value in texts(dataset, "ImageType")),
        rows=integer(dataset, "Rows"),
        columns=integer(dataset, "Columns"),
        frames=max(1, integer(dataset, "NumberOfFrames", 1)),
        source_image_uids=tuple(text(item, "ReferencedSOPInstanceUID") for item in items(dataset, "SourceImageSequence")),
        acquired=_acquired(dataset),
    )


def _who(dataset: Dataset) -> PatientAndStudy:
    return PatientAndStudy(
        study_instance_uid=text(dataset, "StudyInstanceUID"),
        patient_id=text(dataset, "PatientID"),
        issuer_of_patient_id=text(dataset, "IssuerOfPatientID"),
        accession_number=text(dataset, "AccessionNumber"),
        study_date=_date(text(dataset, "StudyDate")),
        patient_name=text(dataset, "PatientName"),
        # What is no date, such as 00000000, says nothing.
        birth_date=text(dataset, "PatientBirthDate") if _date(text(dataset, "PatientBirthDate")) else "",
    )


def _date(value: str) -> date | None:
    """A DICOM date; None for nonsense such as 00000000. Old units write it with dots."""
    digits = value.replace(".", "")
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None


def _intent(dataset: Dataset, sop_class_uid: str) -> PresentationIntent | None:
    """Presentation Intent Type; where it is missing the SOP class says it."""
    said = text(dataset, "PresentationIntentType").upper()
    if sop_class_uid in _FOR_PROCESSING or said == PresentationIntent.FOR_PROCESSING:
        return PresentationIntent.FOR_PROCESSING
    named = said == PresentationIntent.FOR_PRESENTATION or sop_class_uid == uid.DigitalMammographyXRayImageStorageForPresentation
    return PresentationIntent.FOR_PRESENTATION if named else None


def _acquired(dataset: Dataset) -> str:
    return text(dataset, "AcquisitionDate") + text(dataset, "AcquisitionTime") or text(dataset, "AcquisitionDateTime")
