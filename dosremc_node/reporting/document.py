"""What all our structured reports have in common: from a content tree to the bytes of a DICOM file.

A new kind of document is a new file beside `summary` and `region` that makes a `Draft`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import pydicom.config
from highdicom import ContributingEquipment
from highdicom.sr import ComprehensiveSR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ComprehensiveSRStorage, ExplicitVRLittleEndian

from dosremc_node.records import Assessment, Document, DocumentKind, PredecessorDocument, Release, StudyImage, StudyRevision
from dosremc_node.reporting import codes
from dosremc_node.reporting.identity import document_uid, local_time, series_number, series_uid
from dosremc_node.reporting.patient import copy_modules, timezone_offset, write_as_copied
from dosremc_node.reporting.wording import intended_use, plain

SR_CLASS_UID: Final = str(ComprehensiveSRStorage)
"""Every PACS takes Comprehensive SR; Comprehensive 3D SR, which regions on a flat image do not need, is refused by some."""
IMPLEMENTATION_CLASS_UID: Final = UID("2.25.247392601470185296031562785423091746502")
IMPLEMENTATION_VERSION_NAME: Final = "DOSREMC_NODE"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Everything a document is made from. ``identity`` is the header that patient and study modules are copied from."""

    revision: StudyRevision
    assessment: Assessment
    release: Release
    node_name: str
    identity: Dataset
    headers: Mapping[str, Path]
    predecessors: Sequence[PredecessorDocument]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """What a kind of document adds: its content tree, its name in the series list and its place among the documents.

    ``image_uid`` is the image that the document is about, empty where it is about the whole study.
    """

    kind: DocumentKind
    description: str
    content: Dataset
    place: int
    image_uid: str = ""


def evidence_of(image: StudyImage, **further: object) -> Dataset:
    """What highdicom needs to know of an image to refer to it, and nothing of the patient: see `patient`."""
    header = image.header
    dataset = Dataset()
    dataset.SOPClassUID = header.sop_class_uid
    dataset.SOPInstanceUID = header.sop_instance_uid
    dataset.SeriesInstanceUID = header.series_instance_uid
    dataset.StudyInstanceUID = header.who.study_instance_uid
    dataset.Rows, dataset.Columns = header.rows, header.columns
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(dataset, keyword, "")
    for keyword, value in further.items():
        setattr(dataset, keyword, value)
    return dataset


def finish(case: Case, draft: Draft) -> Document:
    """The whole document: every image of the revision is evidence, whether it was assessed or not (promise 10)."""
    name = (case.node_name, case.revision, draft.kind, SR_CLASS_UID, draft.image_uid)
    moment = local_time(case.revision.opened_at, timezone_offset(case.identity))
    report = ComprehensiveSR(
        evidence=[evidence_of(image) for image in case.revision.plan.images],
        content=draft.content,
        series_instance_uid=series_uid(*name),
        series_number=series_number(case.revision, draft.place),
        sop_instance_uid=document_uid(*name),
        instance_number=1,
        series_description=draft.description,
        manufacturer=plain(case.release.manufacturer),
        manufacturer_model_name=plain(case.release.algorithm_name),
        software_versions=case.release.release_id,
        device_serial_number=case.node_name,
        is_complete=True,
        is_verified=False,
        content_date=moment.date(),
        content_time=moment.time(),
        series_date=moment.date(),
        series_time=moment.time(),
        coding_schemes=[codes.private_scheme()],
        previous_versions=[_reference(predecessor) for predecessor in case.predecessors] or None,
        specific_character_set=None,
    )
    report.InstanceCreationDate, report.InstanceCreationTime = report.ContentDate, report.ContentTime
    report.TimezoneOffsetFromUTC = moment.strftime("%z")
    report.StudyInstanceUID = case.revision.who.study_instance_uid
    report.ContributingEquipmentSequence = [_algorithm(case, moment.strftime("%Y%m%d%H%M%S.%f%z"))]
    copy_modules(case.identity, report)
    return Document(
        kind=draft.kind,
        sop_class_uid=SR_CLASS_UID,
        sop_instance_uid=document_uid(*name),
        series_instance_uid=series_uid(*name),
        description=draft.description,
        content=_encode(report),
    )


def _reference(predecessor: PredecessorDocument) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = predecessor.sop_class_uid
    dataset.SOPInstanceUID = predecessor.sop_instance_uid
    dataset.SeriesInstanceUID = predecessor.series_instance_uid
    dataset.StudyInstanceUID = predecessor.study_instance_uid
    return dataset


def _algorithm(case: Case, moment: str) -> ContributingEquipment:
    """The model as IHE AI Results has it: each release is another device, with a UID of its own."""
    release = case.release
    item = ContributingEquipment(
        manufacturer=plain(release.manufacturer),
        purpose_of_reference=codes.PROCESSING_EQUIPMENT,
        manufacturer_model_name=plain(release.algorithm_name),
        software_versions=release.release_id,
        device_serial_number=case.node_name,
        contribution_datetime=moment,
        contribution_description=intended_use(release)[:1024],
    )
    item.DeviceUID = UID(release.device_uid)
    return item


def _encode(report: ComprehensiveSR) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(report.SOPClassUID)
    meta.MediaStorageSOPInstanceUID = UID(report.SOPInstanceUID)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    report.file_meta = meta
    write_as_copied(report)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, report, enforce_file_format=True)
    return buffer.getvalue()
