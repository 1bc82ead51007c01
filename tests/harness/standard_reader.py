"""A reader of structured reports that knows the standard and nothing of what made them: PS3.3 C.17, PS3.16 TID 1500 and TID 4000.

Whatever the report, it finds probabilities of cancer by their code (111047, DCM), and marks by their geometry, with the image that
they were selected from: named in place (TID 1500) or by its position in the report (TID 4000).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

Code = tuple[str, str]
PROBABILITY_OF_CANCER: Code = ("111047", "DCM")
CERTAINTY_OF_IMPRESSION: Code = ("111013", "DCM")
LATERALITY: Code = ("272741003", "SCT")
FINDING: Code = ("111059", "DCM")
MEASUREMENT_GROUP: Code = ("125007", "DCM")
TRACKING_UID: Code = ("112040", "DCM")
SIDES: dict[Code, str] = {("80248007", "SCT"): "L", ("73056007", "SCT"): "R"}


@dataclass(frozen=True)
class Number:
    """A measured value: ``printed`` is the text that a viewer shows, ``value`` the float beside it, in ``unit``."""

    printed: str
    value: float
    unit: str


@dataclass(frozen=True)
class Mark:
    """A region: its image, its points as they are stored, its probability, its tracking UID, and a point in it where there is one."""

    image: str
    points: tuple[tuple[float, float], ...]
    probability: Number
    tracking_uid: str
    centre: tuple[float, float] | None


@dataclass(frozen=True)
class Said:
    """What a report says: of the exam, of each breast (``L``, ``R``), of each image, and what it marks."""

    exam: Number | None
    breasts: dict[str, Number]
    images: dict[str, Number]
    marks: tuple[Mark, ...]
    evidence: frozenset[str]


def read_report(report: Dataset) -> Said:
    """Everything that a structured report of whichever template says in numbers."""
    breasts, images = dict(_of_breasts(report)), dict(_of_images(report))
    return Said(_of_exam(report), breasts, images, tuple(_marks(report)), frozenset(_evidence(report)))


def _of_exam(report: Dataset) -> Number | None:
    """A probability right below the root, or the certainty of the overall impression (TID 4002)."""
    for item in _children(report):
        if _name(item) == PROBABILITY_OF_CANCER:
            return _number(item)
        for child in _children(item):
            if _name(child) == CERTAINTY_OF_IMPRESSION:
                return _number(child)
    return None


def _of_breasts(report: Dataset) -> Iterator[tuple[str, Number]]:
    """In a section that is named for a breast, or beside the laterality that it is said of."""
    for item in _children(report):
        side = SIDES.get(_name(item))
        for child in _children(item):
            if _name(child) == PROBABILITY_OF_CANCER:
                said_of = [_value(each) for each in _children(child) if _name(each) == LATERALITY]
                of = side or next(iter(SIDES[each] for each in said_of if each in SIDES), None)
                if of:
                    yield of, _number(child)


def _of_images(report: Dataset) -> Iterator[tuple[str, Number]]:
    """A probability that was inferred from an image."""
    for item in _everything(report):
        if _name(item) == PROBABILITY_OF_CANCER:
            for image in _children(item):
                if image.get("ValueType") == "IMAGE" and image.RelationshipType == "INFERRED FROM":
                    yield str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID), _number(item)


def _marks(report: Dataset) -> Iterator[Mark]:
    for item in _everything(report):
        if _name(item) in (FINDING, MEASUREMENT_GROUP):
            yield _mark(report, item)


def _mark(report: Dataset, group: Dataset) -> Mark:
    geometry = {each.GraphicType: each for each in _everything(group) if each.get("ValueType") == "SCOORD"}
    images = {_selected_from(report, each) for each in geometry.values()}
    assert len(images) == 1, "the geometry of one mark lies on several images"
    (number,) = [_number(each) for each in _children(group) if _name(each) == PROBABILITY_OF_CANCER]
    (tracked,) = [each.UID for each in _children(group) if _name(each) == TRACKING_UID]
    centre = _points(geometry["POINT"])[0] if "POINT" in geometry else None
    return Mark(images.pop(), _points(geometry["POLYLINE"]), number, str(tracked), centre)


def _selected_from(report: Dataset, region: Dataset) -> str:
    """The image of a region, in place or by reference (PS3.3 C.17.3.2.5: the root is 1, then the child's number on each level)."""
    (source,) = [each for each in _children(region) if each.RelationshipType == "SELECTED FROM"]
    if "ReferencedContentItemIdentifier" in source:
        place = source.ReferencedContentItemIdentifier
        source = report
        for number in list(place)[1:]:
            source = source.ContentSequence[number - 1]
    assert source.ValueType == "IMAGE"
    return str(source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def _points(region: Dataset) -> tuple[tuple[float, float], ...]:
    data = list(region.GraphicData)
    return tuple(zip(data[0::2], data[1::2], strict=True))


def _number(item: Dataset) -> Number:
    (measured,) = item.MeasuredValueSequence
    return Number(
        str(measured["NumericValue"].value), float(measured.FloatingPointValue), _code(measured.MeasurementUnitsCodeSequence[0])[0]
    )


def _evidence(report: Dataset) -> Iterator[str]:
    for study in report.CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            yield from (str(each.ReferencedSOPInstanceUID) for each in series.ReferencedSOPSequence)


def _children(item: Dataset) -> list[Dataset]:
    return list(item.get("ContentSequence", ()))


def _everything(item: Dataset) -> Iterator[Dataset]:
    for child in _children(item):
        yield child
        yield from _everything(child)


def _name(item: Dataset) -> Code | None:
    return _code(item.ConceptNameCodeSequence[0]) if item.get("ConceptNameCodeSequence") else None


def _value(item: Dataset) -> Code:
    return _code(item.ConceptCodeSequence[0])


def _code(item: Dataset) -> Code:
    return str(item.CodeValue), str(item.CodingSchemeDesignator)
