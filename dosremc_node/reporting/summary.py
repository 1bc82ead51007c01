"""The summary report: one for every study, a page of text that explains itself in any viewer.

It is titled Diagnostic Imaging Report and its sections are SEPARATE, because that is what viewers print line by line with the
names in front; any other encoding of scores that we tried opened blank or as run-on text somewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.sr.coding import Code

from dosremc_node.records import Assessment, BreastScore, Document, DocumentKind, ImageScore, Plan, Release, StudyImage
from dosremc_node.reporting import codes, wording
from dosremc_node.reporting.content_items import container, percentage
from dosremc_node.reporting.document import Case, Draft, finish

_CONTAINS: Final = RelationshipTypeValues.CONTAINS


def summary_report(case: Case) -> Document:
    """The report of the exam: positive, negative, or not assessed (then no score stands anywhere in it)."""
    return finish(case, Draft(DocumentKind.SUMMARY, wording.summary_description(case.assessment), summary_content(case), place=0))


def summary_content(case: Case) -> ContainerContentItem:
    """What the report says, as a tree: the PDF is set from the same, so that the two cannot disagree."""
    assessment, plan = case.assessment, case.revision.plan
    items: list[ContentItem] = [
        *_result(case),
        *(_breast(breast, assessment, plan) for breast in assessment.breasts if assessment.shown),
        *_not_assessed(assessment, plan),
        _provenance(case.release, assessment, plan),
    ]
    return container(codes.DIAGNOSTIC_IMAGING_REPORT, None, *items)


def _result(case: Case) -> Iterable[ContentItem]:
    """What a hurried reader takes away: it comes first."""
    assessment, revision = case.assessment, case.revision
    yield CodeContentItem(codes.RESULT, _result_code(assessment), _CONTAINS)
    yield _text(codes.IMPRESSION, wording.impression(assessment, revision.plan))
    if assessment.shown and assessment.exam_probability is not None:
        yield _probability(assessment.exam_probability)
    yield _text(codes.INTENDED_USE, wording.intended_use(case.release))
    if revision.predecessor is not None:
        yield _text(codes.SUPERSEDES, f"the report of revision {revision.predecessor}; this is revision {revision.number}")


def _result_code(assessment: Assessment) -> Code:
    if not assessment.shown:
        return codes.NOT_ASSESSED
    return codes.POSITIVE if assessment.positive else codes.NEGATIVE


def _breast(breast: BreastScore, assessment: Assessment, plan: Plan) -> ContainerContentItem:
    images = {image.header.sop_instance_uid: image for image in plan.images}
    views = [_view(score, images[score.sop_instance_uid]) for score in assessment.images if score.laterality is breast.laterality]
    return container(codes.BREAST[breast.laterality], _CONTAINS, _probability(breast.probability), *views)


def _view(score: ImageScore, image: StudyImage) -> ContainerContentItem:
    return container(codes.view_section(f"{score.laterality} {score.view}"), _CONTAINS, _probability(score.probability, image))


def _not_assessed(assessment: Assessment, plan: Plan) -> Iterable[ContentItem]:
    """Images of the evidence by reference; withdrawn ones in words alone, because nothing may be read of them any more."""
    lines = [_text(codes.IMAGE, line, image) for image, line in wording.not_assessed_lines(plan.images, assessment)]
    lines += [_text(codes.IMAGE, line) for line in wording.withdrawn_lines(plan)]
    if lines:
        yield container(codes.NOT_ASSESSED_SECTION, _CONTAINS, *lines)


def _provenance(release: Release, assessment: Assessment, plan: Plan) -> ContainerContentItem:
    items = [
        _text(codes.SCANNER, wording.plain(str(plan.scanner)) if plan.scanner else "unknown"),
        _text(codes.DOMAIN, wording.domain(plan)),
        _text(codes.ALGORITHM_NAME, wording.plain(release.algorithm_name)),
        _text(codes.ALGORITHM_VERSION, release.release_id),
        _text(codes.FILTERS, f"sha256 {release.filters_sha256}"),
    ]
    # A bank that only kept shadow scores has no part in what this report says.
    if assessment.shown and plan.bank is not None:
        items.insert(4, _text(codes.BANK, str(plan.bank)))
    if assessment.shown and plan.operating_point is not None:
        items.insert(0, _text(codes.OPERATING_POINT, wording.operating_point(plan.operating_point)))
    return container(codes.PROVENANCE_SECTION, _CONTAINS, *items)


_Item = TypeVar("_Item", bound=ContentItem)

# --- Content items ----------------------------------------------------------------------------------------------------


def _text(name: Code, value: str, image: StudyImage | None = None) -> TextContentItem:
    item = TextContentItem(name, value, _CONTAINS)
    return _inferred_from(item, image)


def _probability(probability: float, image: StudyImage | None = None) -> NumContentItem:
    return _inferred_from(percentage(codes.PROBABILITY_OF_CANCER, probability, _CONTAINS), image)


def _inferred_from(item: _Item, image: StudyImage | None) -> _Item:
    """Say which image an item is about, below the item: at the side of it viewers would print an unsupported line."""
    if image is not None:
        source = ImageContentItem(
            codes.SOURCE_IMAGE,
            image.header.sop_class_uid,
            image.header.sop_instance_uid,
            relationship_type=RelationshipTypeValues.INFERRED_FROM,
        )
        item.ContentSequence = ContentSequence([source])
    return item
