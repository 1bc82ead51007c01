"""The Mammography CAD SR, which mammography workstations take: marks and scores beside an image library (PS3.16 TID 4000).

highdicom has neither the template nor content items by reference, so the tree is built here from its single items. What the
exam and its breasts scored stands under the CAD Processing and Findings Summary; each mark is a finding of its own, whose
geometry refers to an image by the image's place in the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    RelationshipTypeValues,
    ScoordContentItem,
    TextContentItem,
    UIDRefContentItem,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import MammographyCADSRStorage

from dosremc_node.records import Document, DocumentKind, Finding, ImageScore
from dosremc_node.reporting import codes, wording
from dosremc_node.reporting.cad_library import library_entry
from dosremc_node.reporting.content_items import below, container, percentage, reference
from dosremc_node.reporting.document import Case, Draft, closed_outline, finish
from dosremc_node.reporting.identity import tracking_uid

_LIBRARY: Final = (1, 2)
"""Where the image library is: the second item below the root, after the language."""

_CONTAINS, _PROPERTY = RelationshipTypeValues.CONTAINS, RelationshipTypeValues.HAS_PROPERTIES
_MODIFIER, _INFERRED = RelationshipTypeValues.HAS_CONCEPT_MOD, RelationshipTypeValues.INFERRED_FROM


def cad_report(case: Case) -> Document:
    """The CAD report of a study: with findings, without, with some images failed, or with nothing assessed at all.

    An image has failed where it was to be scored and was not. One that is no screening view was never attempted, and the
    impression says that it was left out.
    """
    images = (library_entry(image, case.headers.get(image.header.sop_instance_uid)) for image in case.revision.plan.images)
    content = container(
        codes.MAMMOGRAPHY_CAD_REPORT,
        None,
        CodeContentItem(codes.LANGUAGE, codes.ENGLISH, _MODIFIER),
        container(codes.IMAGE_LIBRARY, _CONTAINS, *images),
        _overall(case),
        _performed(case, _DETECTIONS),
        _performed(case, _ANALYSES),
        template="4000",
    )
    description = wording.cad_description(case.assessment)
    return finish(case, Draft(DocumentKind.CAD, description, content, place=0, sop_class_uid=str(MammographyCADSRStorage)))


# --- What was found (TID 4001, 4003, 4006) ----------------------------------------------------------------------------


def _overall(case: Case) -> CodeContentItem:
    findings = [(score, number) for score in case.marked for number in range(len(score.findings))]
    summary = CodeContentItem(codes.PROCESSING_AND_FINDINGS, _summary_code(case, bool(findings)), _CONTAINS)
    impressions = [_impression(case, score, number) for score, number in findings]
    return below(summary, *_exam(case), *impressions)


def _summary_code(case: Case, found: bool) -> Code:
    if not case.assessment.shown:
        return codes.NONE_SUCCEEDED
    if _failed(case):
        return codes.PART_WITH_FINDINGS if found else codes.PART_WITHOUT_FINDINGS
    return codes.ALL_WITH_FINDINGS if found else codes.ALL_WITHOUT_FINDINGS


def _exam(case: Case) -> Iterable[ContentItem]:
    """TID 4002: the result in words, what made it, the exam's score where workstations look for it, and every breast's by its name."""
    assessment = case.assessment
    words = f"{wording.cad_impression(assessment, case.revision.plan)} {wording.intended_use(case.release)}"
    yield TextContentItem(codes.IMPRESSION_DESCRIPTION, words, _PROPERTY)
    yield from _algorithm(case)
    if not assessment.shown or assessment.exam_probability is None:
        return
    yield percentage(codes.CERTAINTY_OF_IMPRESSION, assessment.exam_probability, _PROPERTY)
    for breast in assessment.breasts:
        side = CodeContentItem(codes.LATERALITY, codes.BREAST[breast.laterality], _MODIFIER)
        yield below(percentage(codes.PROBABILITY_OF_CANCER, breast.probability, _PROPERTY), side)


def _impression(case: Case, score: ImageScore, number: int) -> ContainerContentItem:
    return container(codes.INDIVIDUAL_IMPRESSION, _INFERRED, _rendering_intent(), _finding(case, score, number))


def _finding(case: Case, score: ImageScore, number: int) -> CodeContentItem:
    finding = score.findings[number]
    uid = tracking_uid(case.node_name, case.release.release_id, score.sop_instance_uid, number)
    return below(
        CodeContentItem(codes.SINGLE_IMAGE_FINDING, codes.DENSITY, _CONTAINS),
        _rendering_intent(),
        TextContentItem(codes.TRACKING_IDENTIFIER, wording.tracking_identifier(score, number), RelationshipTypeValues.HAS_OBS_CONTEXT),
        UIDRefContentItem(codes.TRACKING_UID, uid, RelationshipTypeValues.HAS_OBS_CONTEXT),
        *_algorithm(case),
        percentage(codes.CERTAINTY_OF_FINDING, finding.probability, _PROPERTY),
        percentage(codes.PROBABILITY_OF_CANCER, finding.probability, _PROPERTY),
        *_geometry(case, score.sop_instance_uid, finding),
    )


def _rendering_intent() -> CodeContentItem:
    return CodeContentItem(codes.RENDERING_INTENT, codes.PRESENTATION_REQUIRED, _MODIFIER)


def _geometry(case: Case, image_uid: str, finding: Finding) -> Iterable[ContentItem]:
    """TID 4021: the centre and the outline, in the pixels of an image of the library."""
    image = _references(case, [image_uid], RelationshipTypeValues.SELECTED_FROM)
    centre = np.asarray([finding.centre], dtype=np.float32)
    yield below(_scoord(codes.CENTER, "POINT", centre), *image)
    yield below(_scoord(codes.OUTLINE, "POLYLINE", closed_outline(finding)), *image)


def _scoord(name: Code, graphic_type: str, points: NDArray[np.float32]) -> ScoordContentItem:
    return ScoordContentItem(name, graphic_type, points, relationship_type=_PROPERTY)


def _references(case: Case, image_uids: Sequence[str], relationship: RelationshipTypeValues) -> list[Dataset]:
    places = {image.header.sop_instance_uid: place for place, image in enumerate(case.revision.plan.images, start=1)}
    return [reference(relationship, *_LIBRARY, places[uid]) for uid in image_uids]


def _algorithm(case: Case) -> Iterable[ContentItem]:
    """TID 4019, as properties of what it found."""
    yield TextContentItem(codes.ALGORITHM_NAME, wording.plain(case.release.algorithm_name), _PROPERTY)
    yield TextContentItem(codes.ALGORITHM_VERSION, case.release.release_id, _PROPERTY)
    for parameter in wording.algorithm_parameters(case.bank, case.release):
        yield TextContentItem(codes.ALGORITHM_PARAMETERS, parameter, _PROPERTY)


# --- What was done (TID 4015, 4016) -----------------------------------------------------------------------------------

_Names = tuple[Code, Code, Code, Code, Code]
"""The summary, what succeeded, what failed, the thing that was performed, and which one it was."""

_DETECTIONS: Final[_Names] = (
    codes.SUMMARY_OF_DETECTIONS,
    codes.SUCCESSFUL_DETECTIONS,
    codes.FAILED_DETECTIONS,
    codes.DETECTION_PERFORMED,
    codes.DENSITY,
)
_ANALYSES: Final[_Names] = (
    codes.SUMMARY_OF_ANALYSES,
    codes.SUCCESSFUL_ANALYSES,
    codes.FAILED_ANALYSES,
    codes.ANALYSIS_PERFORMED,
    codes.OVERALL_IMPRESSION,
)


def _succeeded(case: Case) -> list[str]:
    return [score.sop_instance_uid for score in case.assessment.images] if case.assessment.shown else []


def _failed(case: Case) -> list[str]:
    scored = {score.sop_instance_uid for score in case.assessment.images}
    return [uid for image in case.revision.to_score if (uid := image.header.sop_instance_uid) not in scored]


def _performed(case: Case, names: _Names) -> CodeContentItem:
    summary, successful, unsuccessful, performed, which = names
    succeeded, failed = _succeeded(case), _failed(case)
    results = [(name, images) for name, images in ((successful, succeeded), (unsuccessful, failed)) if images]
    parts = []
    for name, images in results:
        what = CodeContentItem(performed, which, _CONTAINS)
        parts.append(container(name, _INFERRED, below(what, *_algorithm(case), *_references(case, images, _PROPERTY))))
    return below(CodeContentItem(summary, _status(succeeded, failed), _CONTAINS), *parts)


def _status(succeeded: Sequence[str], failed: Sequence[str]) -> Code:
    if not succeeded:
        return codes.FAILED if failed else codes.NOT_ATTEMPTED
    return codes.PARTIALLY_SUCCEEDED if failed else codes.SUCCEEDED
