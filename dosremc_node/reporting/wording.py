"""The sentences of our reports, in plain English and plain ASCII, and the short names that a series list has room for."""

from __future__ import annotations

import unicodedata
from typing import Final

from dosremc_node.records import Assessment, BankId, ImageScore, NotAssessedReason, OperatingPoint, Plan, Release, StudyImage, StudyRevision

RESEARCH_USE: Final = "Research use only: not for diagnosis, not verified by a physician."
ANY_KIND: Final = "Each mark is a region that drove the score, whatever it shows: densities are not told from calcifications."
SHORT_RESEARCH_USE: Final = "AI for research use only: not for diagnosis"
REJECTION_DESCRIPTION: Final = "AI superseded"
SALIENCY: Final = "How much each place drove the score of the view, 0 to 1: no probability of cancer at that place."
NOT_NEGATIVE: Final = "No score is given: do not read this as negative."


def plain(text: str) -> str:
    """``text`` in ASCII: a document keeps the character set of the images, which may have no room for anything else."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().strip()


def percent(probability: float) -> str:
    """``73.2 %``."""
    return f"{100 * probability:.1f} %"


def short_percent(probability: float) -> str:
    """``73 %``: viewers cut a series description near 20 characters. Never 0 % and never 100 %."""
    rounded = round(100 * probability)
    if rounded < 1:
        return "<1 %"
    return f"{rounded} %" if rounded < 100 else ">99 %"


def summary_description(assessment: Assessment) -> str:
    """What the series list says of the summary: ``AI POSITIVE 73 %``, ``AI NEGATIVE 2 %`` or ``AI NOT ASSESSED``."""
    return f"AI {_short_result(assessment)}"


def cad_description(assessment: Assessment) -> str:
    """What the series list says of the CAD report: ``AI CAD POSITIVE 73 %``."""
    return f"AI CAD {_short_result(assessment)}"


def pdf_description(assessment: Assessment) -> str:
    """What the series list says of the PDF: ``AI PDF POSITIVE 73 %``."""
    return f"AI PDF {_short_result(assessment)}"


def rejection(revision: StudyRevision) -> str:
    """What a rejection note says in words."""
    return f"These earlier AI documents of the study are superseded by its revision {revision.number}. {RESEARCH_USE}"


def _short_result(assessment: Assessment) -> str:
    if not assessment.shown or assessment.exam_probability is None:
        return "NOT ASSESSED"
    return f"{'POSITIVE' if assessment.positive else 'NEGATIVE'} {short_percent(assessment.exam_probability)}"


def region_description(score: ImageScore) -> str:
    """What the series list says of a region report: ``AI L CC 73 %``."""
    return f"AI {score.laterality} {score.view} {short_percent(score.probability)}"


def capture_description(score: ImageScore) -> str:
    """What the series list says of a capture: ``AI view L CC 73 %``."""
    return f"AI view {score.laterality} {score.view} {short_percent(score.probability)}"


def presentation_description(score: ImageScore) -> str:
    """What the series list says of a presentation state: ``AI marks L CC 73 %``."""
    return f"AI marks {score.laterality} {score.view} {short_percent(score.probability)}"


def saliency_description(score: ImageScore) -> str:
    """What the series list says of a saliency map: ``AI map L CC 73 %``."""
    return f"AI map {score.laterality} {score.view} {short_percent(score.probability)}"


def derivation(score: ImageScore, revision: StudyRevision, release: Release) -> str:
    """What was done to an image to make its capture, and which one is the latest."""
    made = f"Reduced copy of the {score.laterality.word} {score.view} view with outlines, heat map and score burnt in."
    said = f"{intended_use(release)} Release {release.release_id}, revision {revision.number}."
    if revision.predecessor is not None:
        said += f" Supersedes revision {revision.predecessor}."
    return f"{made} {said}"[:1024]


def impression(assessment: Assessment, plan: Plan) -> str:
    """The result in full sentences, which stand for themselves where a reader sees nothing else of the report."""
    probability = assessment.exam_probability
    if not assessment.shown or probability is None:
        return _joined(_no_result(assessment), _withdrawn(plan))
    return _joined(*_result(assessment, probability, plan), _marked(assessment), _nearest(plan), _left_out(assessment), _withdrawn(plan))


def cad_impression(assessment: Assessment, plan: Plan) -> str:
    """The same for a document that holds the marks itself, and has no other place to list what was not assessed."""
    lines = [*(line for _, line in not_assessed_lines(plan.images, assessment)), *withdrawn_lines(plan)]
    left_out = f"Not assessed: {'; '.join(lines)}" if lines else ""
    probability = assessment.exam_probability
    if not assessment.shown or probability is None:
        return _joined(_no_result(assessment), left_out)
    marks = ANY_KIND if any(score.positive and score.findings for score in assessment.images) else "No region is marked."
    return _joined(*_result(assessment, probability, plan), marks, _nearest(plan), left_out)


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _no_result(assessment: Assessment) -> str:
    return f"AI RESULT: NOT ASSESSED. {assessment.not_assessed or NotAssessedReason.NO_IMAGES} {NOT_NEGATIVE}"


def _result(assessment: Assessment, probability: float, plan: Plan) -> list[str]:
    return [
        f"AI RESULT: {'POSITIVE' if assessment.positive else 'NEGATIVE'}.",
        f"The probability of cancer for the exam is {percent(probability)}{_against(plan)}.",
        _highest(assessment.images),
        _positive_views_of_a_negative_exam(assessment),
    ]


def _against(plan: Plan) -> str:
    return f" (positive from {percent(plan.operating_point.threshold)})" if plan.operating_point else ""


def _highest(scores: tuple[ImageScore, ...]) -> str:
    highest = max(scores, key=lambda score: score.probability)
    return f"The highest view is the {highest.laterality.word} {highest.view} with {percent(highest.probability)}."


def _positive_views_of_a_negative_exam(assessment: Assessment) -> str:
    views = [f"{score.laterality.word} {score.view}" for score in assessment.images if score.positive]
    if assessment.positive or not views:
        return ""
    return f"Positive by itself, though the mean of its breast is not: {', '.join(views)}."


def _marked(assessment: Assessment) -> str:
    marked = [region_description(score) for score in assessment.images if score.positive and score.findings]
    if not marked:
        return "No region is marked."
    return f"Marked regions: see the series {', '.join(marked)}."


def _nearest(plan: Plan) -> str:
    if not plan.nearest:
        return ""
    return f"The scanner belongs to no domain of this release: the nearest bank ({plan.domain}) was used, so the scores are less certain."


def _left_out(assessment: Assessment) -> str:
    count = len(assessment.images_not_assessed)
    if count == 0:
        return ""
    return f"{count} further {'image was' if count == 1 else 'images were'} not assessed: see below."


def _withdrawn(plan: Plan) -> str:
    aside = sum(image.not_assessed is NotAssessedReason.OTHER_PATIENT for image in plan.withdrawn)
    return _joined(_rejected(len(plan.withdrawn) - aside), _set_aside(aside))


def _set_aside(count: int) -> str:
    if count == 0:
        return ""
    return f"{count} {'image that names' if count == 1 else 'images that name'} another patient {'was' if count == 1 else 'were'} set aside by a person."


def _rejected(count: int) -> str:
    if count == 0:
        return ""
    return f"{count} {'image was' if count == 1 else 'images were'} withdrawn by rejection notes, with all that was said of {'it' if count == 1 else 'them'}."


def operating_point(point: OperatingPoint) -> str:
    target = f" Chosen for: {point.target}" if point.target else ""
    return plain(f"View, breast and exam each count as positive at {percent(point.threshold)} or more.{target}")


def domain(plan: Plan) -> str:
    if plan.nearest and plan.not_assessed is None:
        return f"{plan.domain} (the nearest: the scanner itself belongs to no domain of this release)"
    if plan.not_assessed is NotAssessedReason.MIXED_DOMAINS:
        return "more than one"
    if plan.not_assessed is NotAssessedReason.UNKNOWN_SCANNER or plan.domain is None:
        return "none of this release"
    return plan.domain


def intended_use(release: Release) -> str:
    return plain(f"{RESEARCH_USE} {release.statement}")


def algorithm_parameters(bank: BankId | None, release: Release) -> list[str]:
    """What a release's domains differ in, and what the result may be used for."""
    return [*([f"bank {bank}"] if bank else []), f"filters sha256 {release.filters_sha256}", intended_use(release)]


def tracking_identifier(score: ImageScore, finding: int) -> str:
    """``L CC region 1``."""
    return f"{score.laterality} {score.view} region {finding + 1}"


def not_assessed_lines(images: tuple[StudyImage, ...], assessment: Assessment) -> list[tuple[StudyImage, str]]:
    """Every image without a shown score, with the reason: its own, or else that of the whole study."""
    scored = {score.sop_instance_uid for score in assessment.images} if assessment.shown else set()
    reasons = {image.sop_instance_uid: image.reason for image in assessment.images_not_assessed}
    study = assessment.not_assessed or NotAssessedReason.NO_IMAGES
    return [
        (image, f"{image.name}: {reasons.get(image.header.sop_instance_uid) or image.not_assessed or study}")
        for image in images
        if image.header.sop_instance_uid not in scored
    ]


def withdrawn_lines(plan: Plan) -> list[str]:
    """Every image that rejection notes withdrew from what is reported, with their reason."""
    return [f"{image.name}: {image.not_assessed}" for image in plan.withdrawn]
