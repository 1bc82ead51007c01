"""The release's rule: from logits to what is said of a view, a breast and an exam. This file is the whole of it.

* An image's probability is its calibrated logit.
* A breast's is the mean over its views, a view with several images counting once, by their mean.
* The exam's is that of its more suspicious breast.
* Image, breast and exam are positive, each for itself, where their probability is at or above the operating point's
  threshold. A mean is never above its largest part, so every positive breast has a positive image, and so every positive
  exam has a region to look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from dosremc_node.inference.regions import find_findings
from dosremc_node.records import (
    Assessment,
    BreastScore,
    ImageNotAssessed,
    ImageScore,
    Laterality,
    NetworkInput,
    NetworkOutput,
    NotAssessedReason,
    OperatingPoint,
    StudyImage,
    StudyRevision,
    View,
)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredImage:
    """What the network saw of an image and what it said; ``saliency_key`` names the saliency map among the artifacts."""

    network_input: NetworkInput
    network_output: NetworkOutput
    saliency_key: str = ""


Outputs = Mapping[str, ScoredImage | NotAssessedReason]
"""By SOP Instance UID: the result, or why there is none."""


def assess(revision: StudyRevision, outputs: Outputs) -> Assessment:
    """What the model says of a revision. ``outputs`` has an entry for every image of ``revision.to_score``.

    With the policy *shadow* the scores are there and ``not_assessed`` too. Raises `ValueError` where an output is missing.
    """
    results = [(image, _result(revision, image, outputs)) for image in revision.plan.images]
    images = tuple(result for _, result in results if isinstance(result, ImageScore))
    failed = tuple(
        ImageNotAssessed(image.header.sop_instance_uid, image.name, result)
        for image, result in results
        if isinstance(result, NotAssessedReason)
    )
    breasts = tuple(_breasts(images, revision.plan.operating_point))
    return Assessment(
        images=images,
        breasts=breasts,
        exam_probability=max((breast.probability for breast in breasts), default=None),
        positive=any(breast.positive for breast in breasts),
        images_not_assessed=failed,
        not_assessed=revision.plan.not_assessed or (None if images else _why_nothing(revision, failed)),
    )


def _result(revision: StudyRevision, image: StudyImage, outputs: Outputs) -> ImageScore | NotAssessedReason:
    plan = revision.plan
    if image.not_assessed is not None:
        return image.not_assessed
    if plan.bank is None or plan.operating_point is None:
        return plan.not_assessed or NotAssessedReason.UNKNOWN_SCANNER
    output = outputs.get(image.header.sop_instance_uid)
    if output is None:
        raise ValueError(f"there is no output for the image {image.name} of {revision.key}")
    return _score(image, output, plan.operating_point) if isinstance(output, ScoredImage) else output


def _score(image: StudyImage, scored: ScoredImage, operating_point: OperatingPoint) -> ImageScore | NotAssessedReason:
    header, output = image.header, scored.network_output
    if header.laterality is None:
        return NotAssessedReason.UNKNOWN_LATERALITY
    if header.view is None:
        return NotAssessedReason.UNKNOWN_VIEW
    probability = operating_point.probability(output.logit)
    positive = probability >= operating_point.threshold
    return ImageScore(
        sop_instance_uid=header.sop_instance_uid,
        laterality=header.laterality,
        view=header.view,
        logit=output.logit,
        probability=probability,
        positive=positive,
        findings=find_findings(output, scored.network_input, probability) if positive else (),
        saliency_key=scored.saliency_key,
    )


def _breasts(images: tuple[ImageScore, ...], operating_point: OperatingPoint | None) -> Iterable[BreastScore]:
    for laterality in Laterality:
        views = [_view_mean(images, laterality, view) for view in View]
        probabilities = [probability for probability in views if probability is not None]
        if probabilities and operating_point is not None:
            mean = fmean(probabilities)
            yield BreastScore(laterality, mean, mean >= operating_point.threshold)


def _view_mean(images: tuple[ImageScore, ...], laterality: Laterality, view: View) -> float | None:
    # fmean rounds once, so the order in which the images came cannot change a bit.
    probabilities = [image.probability for image in images if (image.laterality, image.view) == (laterality, view)]
    return fmean(probabilities) if probabilities else None


def _why_nothing(revision: StudyRevision, failed: tuple[ImageNotAssessed, ...]) -> NotAssessedReason:
    tried = bool(revision.to_score)
    unreadable = any(image.reason is NotAssessedReason.UNREADABLE for image in failed)
    return NotAssessedReason.UNREADABLE if tried and unreadable else NotAssessedReason.NO_IMAGES
