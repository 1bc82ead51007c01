"""What the model says of a revision."""

from __future__ import annotations

from dataclasses import dataclass

from dosremc_node.records.images import Laterality, NotAssessedReason, View
from dosremc_node.records.tensors import Point


@dataclass(frozen=True, slots=True)
class Finding:
    """A region that drove a score: a closed outline in image coordinates, and the probability it carries (0..1)."""

    outline: tuple[Point, ...]
    centre: Point
    probability: float


@dataclass(frozen=True, slots=True)
class ImageScore:
    """What the model says of one image. ``saliency_key`` names the saliency map among the artifacts."""

    sop_instance_uid: str
    laterality: Laterality
    view: View
    logit: float
    probability: float
    positive: bool
    findings: tuple[Finding, ...]
    saliency_key: str = ""


@dataclass(frozen=True, slots=True)
class BreastScore:
    """The mean of a breast's views (the release's rule)."""

    laterality: Laterality
    probability: float
    positive: bool


@dataclass(frozen=True, slots=True)
class ImageNotAssessed:
    sop_instance_uid: str
    name: str
    reason: NotAssessedReason


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the model says of a revision.

    ``not_assessed`` is set where no score may be shown, and then ``images`` are the shadow scores, which no document
    may carry. ``exam_probability`` is None where no image was scored.
    """

    images: tuple[ImageScore, ...]
    breasts: tuple[BreastScore, ...]
    exam_probability: float | None
    positive: bool
    images_not_assessed: tuple[ImageNotAssessed, ...]
    not_assessed: NotAssessedReason | None

    @property
    def shown(self) -> bool:
        return self.not_assessed is None and self.exam_probability is not None
