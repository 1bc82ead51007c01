"""The region report: what drove the score of one positive image, drawn on it (PS3.16 TID 1500 with TID 1410 groups only).

One document per image, each in a series of its own, because viewers reach only the first image of such a report; and no group
of another template in it, because viewers then open a blank page.
"""

from __future__ import annotations

from pathlib import Path

from highdicom.sr import (
    AlgorithmIdentification,
    ImageRegion,
    Measurement,
    MeasurementReport,
    ObservationContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from dosremc_node.records import Document, DocumentKind, Finding, ImageScore, StudyImage
from dosremc_node.reporting import codes, wording
from dosremc_node.reporting.content_items import device_observer
from dosremc_node.reporting.document import Case, Draft, closed_outline, coded, evidence_of, finish
from dosremc_node.reporting.identity import tracking_uid
from dosremc_node.reporting.image_header import imager_pixel_spacing, patient_orientation
from dosremc_node.reporting.patient import read_header


def region_report(case: Case, score: ImageScore, place: int) -> Document:
    """The report of one image that has findings; ``place`` counts from 1, the summary has 0."""
    image = case.image_of(score)
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device_observer(case)),
        procedure_reported=codes.MAMMOGRAPHY,
        imaging_measurements=[_group(case, image, score, number) for number in range(len(score.findings))],
        title=codes.IMAGING_MEASUREMENT_REPORT,
        referenced_images=[_library_entry(image, case.headers[score.sop_instance_uid])],
    )
    _call_mammography(report[0])
    return finish(case, Draft(DocumentKind.REGION, wording.region_description(score), report[0], place, score.sop_instance_uid))


def _group(case: Case, image: StudyImage, score: ImageScore, number: int) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    finding = score.findings[number]
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=tracking_uid(case.node_name, case.release.release_id, score.sop_instance_uid, number),
            identifier=wording.tracking_identifier(score, number),
        ),
        referenced_region=_region(image, finding),
        finding_type=codes.SELECTED_REGION,
        algorithm_id=_algorithm(case),
        measurements=[_probability(finding)],
        geometric_purpose=codes.BOUNDED_BY,
    )


def _region(image: StudyImage, finding: Finding) -> ImageRegion:
    source = SourceImageForRegion(image.header.sop_class_uid, image.header.sop_instance_uid)
    return ImageRegion("POLYLINE", closed_outline(finding), source)


def _probability(finding: Finding) -> Measurement:
    measurement = Measurement(codes.PROBABILITY_OF_CANCER, 100.0 * finding.probability, codes.PERCENT)
    measurement[0].MeasuredValueSequence[0].NumericValue = f"{100 * finding.probability:.1f}"
    return measurement


def _algorithm(case: Case) -> AlgorithmIdentification:
    """TID 4019."""
    release = case.release
    return AlgorithmIdentification(
        name=wording.plain(release.algorithm_name),
        version=release.release_id,
        parameters=wording.algorithm_parameters(case.bank, release),
        family=codes.ARTIFICIAL_INTELLIGENCE,
        manufacturer=wording.plain(release.manufacturer),
    )


# --- The image library ------------------------------------------------------------------------------------------------


def _call_mammography(item: Dataset) -> None:
    """Name the modality by what the image is of. highdicom goes by the SOP class, and has none of CID 29 for film and captures."""
    for child in item.get("ContentSequence", ()):
        if child.ConceptNameCodeSequence[0] == standard.DCM.Modality:
            child.ConceptCodeSequence = [coded(standard.DCM.Mammography)]
        _call_mammography(child)


def _library_entry(image: StudyImage, path: Path) -> Dataset:
    """The image as highdicom's library (TID 1600) wants it.

    It insists on orientation and spacing for a mammogram (TID 1603), which film and secondary captures lack: such an image
    is entered as one of another modality, for which they are not asked.
    """
    header = read_header(path, "PatientOrientation", "ImagerPixelSpacing")
    orientation, spacing = patient_orientation(header), imager_pixel_spacing(header)
    if orientation is None or spacing is None:
        return evidence_of(image, Modality="OT")
    return evidence_of(image, Modality="MG", PatientOrientation=list(orientation), ImagerPixelSpacing=list(spacing))
