"""What the header alone rules out: not every mammographic object is a screening view."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pydicom import uid
from pydicom.dataset import Dataset

from dosremc_node.records import ImageHeader, NotAssessedReason, PresentationIntent, View
from dosremc_node.studies.tags import integer, items, number, text, texts
from dosremc_node.studies.views import IMPLANT_DISPLACED, MAGNIFICATION, SPOT, is_specimen

_MAMMOGRAPHY = frozenset({uid.DigitalMammographyXRayImageStorageForPresentation, uid.DigitalMammographyXRayImageStorageForProcessing})
_TOMOSYNTHESIS = frozenset(
    {
        uid.BreastTomosynthesisImageStorage,
        uid.BreastProjectionXRayImageStorageForPresentation,
        uid.BreastProjectionXRayImageStorageForProcessing,
    }
)
_MAYBE_MAMMOGRAPHY = frozenset(
    {
        uid.SecondaryCaptureImageStorage,
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
    }
)
"""Classes in which digitised film and plate readers send mammograms; Modality (0008,0060) MG tells."""

SCREENING_VIEWS = frozenset({View.CC, View.MLO})

_WHOLE_VIEW_MODIFIERS = frozenset({"nipple in profile", "anterior compression"})
"""Modifiers that leave a view what it is."""

_FREE_TEXTS = ("ProtocolName", "SeriesDescription", "AcquisitionProtocolName")

_GREY = ("", "MONOCHROME1", "MONOCHROME2")

_CONTACT_MAGNIFICATION = 1.3
"""Contact views have 1.02 to 1.1, magnification views 1.5 to 2 (Estimated Radiographic Magnification Factor)."""

_SMALLEST_FIELD_MM = 80.0
_SMALLEST_FIELD_PIXELS = 1500
"""Where no spacing is known: stereotactic detectors give 512 or 1024 pixels for 50 mm, screening detectors at least 1900 for 180 mm; what is
smaller may be a piece cut from a view."""


def is_image(sop_class_uid: str) -> bool:
    """Whether objects of the class are images; structured reports, presentation states, key objects and the like are not."""
    return "Image Storage" in uid.UID(sop_class_uid).name


def why_not_assessed(header: ImageHeader, dataset: Dataset) -> NotAssessedReason | None:
    """The first reason why the header rules the image out; None where it may be assessed."""
    return next((reason for reason, applies in _RULES if applies(header, dataset)), None)


def _is_no_mammography(header: ImageHeader, _: Dataset) -> bool:
    if header.sop_class_uid in _MAMMOGRAPHY | _TOMOSYNTHESIS:
        return False
    return header.sop_class_uid not in _MAYBE_MAMMOGRAPHY or header.modality != "MG"


def _is_tomosynthesis(header: ImageHeader, _: Dataset) -> bool:
    return header.sop_class_uid in _TOMOSYNTHESIS or any(value in ("TOMO", "TOMO_PROJ", "TOMO_SLICE") for value in header.image_type)


def _is_synthetic(header: ImageHeader, _: Dataset) -> bool:
    return any(value in ("GENERATED_2D", "TOMO_2D", "TOMOSYNTHESIS") for value in header.image_type)


def _is_in_colour(_: ImageHeader, dataset: Dataset) -> bool:
    """Palette colours count too: their values are numbers of colours, not grey."""
    return integer(dataset, "SamplesPerPixel", 1) > 1 or text(dataset, "PhotometricInterpretation").upper() not in _GREY


def _is_contrast_enhanced(header: ImageHeader, dataset: Dataset) -> bool:
    agent = text(dataset, "ContrastBolusAgent").upper() not in ("", "NO", "NONE") or bool(items(dataset, "ContrastBolusAgentSequence"))
    return agent or any(re.search(r"SUBTRACT|RECOMBIN|(LOW|HIGH|DUAL)_?ENERGY", value) for value in header.image_type)


def _described(dataset: Dataset) -> str:
    """Free text, in capitals. It is never believed where it says that an image is a screening view, only where it says that it is none."""
    return " ".join(text(dataset, keyword) for keyword in _FREE_TEXTS).upper()


def _is_stereotactic(header: ImageHeader, dataset: Dataset) -> bool:
    described = " ".join([_described(dataset), text(dataset, "PositionerType")]).upper()
    technical = " ".join([*header.image_type, text(dataset, "PaddleDescription")]).upper()
    # "Biopsy" alone in a description may only say why the woman came.
    return bool(re.search(r"\b(STEREO|SCOUT|PRE-?FIRE|POST-?FIRE)", described) or re.search(r"STEREO|BIOPSY", technical))


def _is_quality_control(_: ImageHeader, dataset: Dataset) -> bool:
    described = " ".join([_described(dataset), text(dataset, "BodyPartExamined")]).upper()
    return text(dataset, "QualityControlImage").upper() == "YES" or bool(re.search(r"PHANTOM|FLAT ?FIELD", described))


def _is_specimen(_: ImageHeader, dataset: Dataset) -> bool:
    return (
        is_specimen(dataset)
        or "SPECIMEN" in " ".join([_described(dataset), text(dataset, "BodyPartExamined")]).upper()
        or bool(items(dataset, "SpecimenDescriptionSequence"))
    )


def _is_implant_displaced(header: ImageHeader, dataset: Dataset) -> bool:
    return IMPLANT_DISPLACED in header.view_modifiers or bool(re.search(r"IMPLANT DISPLACED|EKLUND", _described(dataset)))


def _is_magnified(header: ImageHeader, dataset: Dataset) -> bool:
    factor = number(dataset, "EstimatedRadiographicMagnificationFactor")
    said = MAGNIFICATION in header.view_modifiers or re.search(r"\bMAG(N|NIFICATION|NIFIED)?\b", _described(dataset))
    return bool(said) or (factor is not None and factor >= _CONTACT_MAGNIFICATION)


def _is_spot(header: ImageHeader, dataset: Dataset) -> bool:
    described = " ".join([_described(dataset), text(dataset, "PaddleDescription")]).upper()
    return SPOT in header.view_modifiers or bool(re.search(r"\bSPOT", described))


def _is_other_view(header: ImageHeader, _: Dataset) -> bool:
    return header.view not in SCREENING_VIEWS or bool(set(header.view_modifiers) - _WHOLE_VIEW_MODIFIERS)


def _has_small_field(header: ImageHeader, dataset: Dataset) -> bool:
    if not header.rows or not header.columns:
        return False
    spacings = [texts(dataset, keyword) for keyword in ("ImagerPixelSpacing", "PixelSpacing")]
    side = max(header.rows, header.columns)
    for spacing in spacings:
        millimetres = _positive(spacing)
        if millimetres is not None:
            return side * millimetres < _SMALLEST_FIELD_MM
    return side < _SMALLEST_FIELD_PIXELS


def _positive(values: Sequence[str]) -> float | None:
    try:
        spacing = float(values[0])
    except (IndexError, ValueError):
        return None
    return spacing if 0 < spacing < float("inf") else None


_RULES: tuple[tuple[NotAssessedReason, Callable[[ImageHeader, Dataset], bool]], ...] = (
    (NotAssessedReason.NOT_MAMMOGRAPHY, _is_no_mammography),
    (NotAssessedReason.TOMOSYNTHESIS, _is_tomosynthesis),
    (NotAssessedReason.SYNTHETIC, _is_synthetic),
    (NotAssessedReason.MULTI_FRAME, lambda header, _: header.frames > 1),
    (NotAssessedReason.COLOUR, _is_in_colour),
    (NotAssessedReason.CONTRAST_ENHANCED, _is_contrast_enhanced),
    (NotAssessedReason.QUALITY_CONTROL, _is_quality_control),
    (NotAssessedReason.SPECIMEN, _is_specimen),
    (NotAssessedReason.STEREOTACTIC, _is_stereotactic),
    (NotAssessedReason.IMPLANT_DISPLACED, _is_implant_displaced),
    (NotAssessedReason.MAGNIFICATION, _is_magnified),
    (NotAssessedReason.SPOT, _is_spot),
    (NotAssessedReason.FOR_PROCESSING, lambda header, _: header.intent is PresentationIntent.FOR_PROCESSING),
    (NotAssessedReason.UNKNOWN_VIEW, lambda header, _: header.view is None),
    (NotAssessedReason.OTHER_VIEW, _is_other_view),
    (NotAssessedReason.UNKNOWN_LATERALITY, lambda header, _: header.laterality is None),
    (NotAssessedReason.SMALL_FIELD, _has_small_field),
)
"""In this order: what an object is, then what it shows, then how."""
