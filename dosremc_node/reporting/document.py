"""What all our documents have in common: from what is in them to the bytes of a DICOM file.

A new kind of document is a new file beside `summary` and `region` that makes a `Draft`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pydicom.config
from highdicom import ContributingEquipment
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, ComprehensiveSRStorage, ExplicitVRLittleEndian

from dosremc_node.records import (
    Assessment,
    BankId,
    Document,
    DocumentKind,
    Finding,
    ImageScore,
    Picture,
    PredecessorDocument,
    Release,
    StudyImage,
    StudyRevision,
)
from dosremc_node.reporting import codes
from dosremc_node.reporting.identity import document_uid, local_time, series_number, series_uid
from dosremc_node.reporting.patient import copy_modules, timezone_offset, when_taken, write_as_copied
from dosremc_node.reporting.wording import intended_use, plain

SR_CLASS_UID: Final = str(ComprehensiveSRStorage)
"""Every PACS takes Comprehensive SR; Comprehensive 3D SR, which regions on a flat image do not need, is refused by some."""
IMPLEMENTATION_CLASS_UID: Final = UID("2.25.247392601470185296031562785423091746502")
IMPLEMENTATION_VERSION_NAME: Final = "DOSREMC_NODE"


Pictures = Callable[[ImageScore], Picture | None]
"""What the capture of an image is drawn from, None where it could not be prepared. It is asked for positive images only, because it may
take a second or two.
"""


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
    pictures: Pictures | None

    def picture_of(self, score: ImageScore) -> Picture | None:
        """What the capture of an image is drawn from; raises `ValueError` where nobody handed in any pictures."""
        if self.pictures is None:
            raise ValueError("a capture cannot be drawn without pictures")
        return self.pictures(score)

    def reference_to(self, score: ImageScore) -> Dataset:
        """The image of a score as an item of a sequence of references."""
        return _reference(self.image_of(score).header)

    def references(self) -> list[Dataset]:
        """Every image of the revision as an item of a sequence of references."""
        return [_reference(image.header) for image in self.revision.plan.images]

    def image_of(self, score: ImageScore) -> StudyImage:
        """The image that a score is of."""
        return next(image for image in self.revision.plan.images if image.header.sop_instance_uid == score.sop_instance_uid)

    @property
    def bank(self) -> BankId | None:
        """The bank that made what is shown; None where it only kept shadow scores, and so has no part in it."""
        return self.revision.plan.bank if self.assessment.shown else None

    @property
    def marked(self) -> Sequence[ImageScore]:
        """The positive images whose findings may be shown."""
        return [score for score in self.assessment.images if score.positive and score.findings] if self.assessment.shown else []


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """What a kind of document adds: its content, its name in the series list and its place among those of its kind.

    ``image_uid`` is the image that the document is about, empty where it is about the whole study.
    """

    kind: DocumentKind
    description: str
    content: Dataset
    place: int
    image_uid: str = ""
    sop_class_uid: str = SR_CLASS_UID
    modality: str = "SR"


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


def closed_outline(finding: Finding) -> NDArray[np.float32]:
    """The outline as n x 2 (column, row); a polyline is a region only where its last point is its first (PS3.3 C.18.6.1.2)."""
    outline = finding.outline
    points = outline if outline[0] == outline[-1] else (*outline, outline[0])
    return np.asarray(points, dtype=np.float32)


def coded(code: Code) -> Dataset:
    """A code as an item of a sequence."""
    return CodedConcept.from_code(code)


def finish(case: Case, draft: Draft) -> Document:
    """The whole document: what its kind adds, and the modules that all have. Of a structured report (PS3.3 A.35) every image of the
    revision is evidence, whether it was assessed or not (promise 10).
    """
    name = (case.node_name, case.revision, draft.kind, draft.sop_class_uid, draft.image_uid)
    moment = local_time(case.revision.opened_at, timezone_offset(case.identity), when_taken(case.identity))
    report = Dataset()
    for element in draft.content:
        report[element.tag] = element
    report.SOPClassUID, report.SOPInstanceUID = draft.sop_class_uid, document_uid(*name)
    report.StudyInstanceUID, report.SeriesInstanceUID = case.revision.who.study_instance_uid, series_uid(*name)
    report.Modality = draft.modality
    report.SeriesNumber, report.InstanceNumber = series_number(case.revision, draft.kind, draft.place), 1
    report.SeriesDescription = draft.description
    for made in ("InstanceCreation", "Series", "PresentationCreation" if draft.modality == "PR" else "Content"):
        setattr(report, f"{made}Date", moment.strftime("%Y%m%d"))
        setattr(report, f"{made}Time", moment.strftime("%H%M%S.%f"))
    report.TimezoneOffsetFromUTC = moment.strftime("%z")
    _add_equipment(report, case, moment.strftime("%Y%m%d%H%M%S.%f%z"))
    if draft.modality == "SR":
        _add_state(report, case)
    copy_modules(case.identity, report)
    return Document(
        kind=draft.kind,
        sop_class_uid=draft.sop_class_uid,
        sop_instance_uid=report.SOPInstanceUID,
        series_instance_uid=report.SeriesInstanceUID,
        description=draft.description,
        content=_encode(report),
    )


def _add_equipment(report: Dataset, case: Case, moment: str) -> None:
    """General and Enhanced General Equipment (PS3.3 C.7.5), with the algorithm as contributing equipment."""
    report.Manufacturer = plain(case.release.manufacturer)
    report.ManufacturerModelName = plain(case.release.algorithm_name)
    report.DeviceSerialNumber, report.SoftwareVersions = case.node_name, case.release.release_id
    report.ContributingEquipmentSequence = [_algorithm(case, moment)]
    report.CodingSchemeIdentificationSequence = [codes.private_scheme()]


def _add_state(report: Dataset, case: Case) -> None:
    """SR Document General (PS3.3 C.17.2): what it is made from, what it replaces, and that nobody has verified it."""
    report.ReferencedPerformedProcedureStepSequence, report.PerformedProcedureCodeSequence = [], []
    report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    images = [(each.header.who.study_instance_uid, each.header.series_instance_uid, each.header) for each in case.revision.plan.images]
    report.CurrentRequestedProcedureEvidenceSequence = hierarchical_references(images)
    if case.predecessors:
        report.PredecessorDocumentsSequence = document_references(case.predecessors)


class _Instance(Protocol):
    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...


def hierarchical_references(instances: Iterable[tuple[str, str, _Instance]]) -> list[Dataset]:
    """Instances, each with its study's and series' UID, as a Hierarchical SOP Instance Reference (PS3.3 table C.17-3)."""
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for study, series, instance in instances:
        studies.setdefault(study, {}).setdefault(series, []).append(_reference(instance))
    return [_study_reference(study_uid, series) for study_uid, series in studies.items()]


def document_references(documents: Iterable[PredecessorDocument]) -> list[Dataset]:
    """Documents of earlier revisions as the same."""
    return hierarchical_references((each.study_instance_uid, each.series_instance_uid, each) for each in documents)


def _reference(instance: _Instance) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.sop_class_uid, instance.sop_instance_uid
    return item


def _study_reference(study_uid: str, series: Mapping[str, list[Dataset]]) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID, study.ReferencedSeriesSequence = study_uid, []
    for uid, instances in series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedSOPSequence = uid, instances
        study.ReferencedSeriesSequence.append(item)
    return study


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


def _encode(report: Dataset) -> bytes:
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
