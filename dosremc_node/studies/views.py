"""Which side and which view an image shows, from every place where vendors put it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset

from dosremc_node.records import Laterality, View
from dosremc_node.studies.tags import items, text, texts

VIEW_CODES: dict[str, View] = {
    "399162004": View.CC, "R-10242": View.CC,
    "399368009": View.MLO, "R-10226": View.MLO,
    "399260004": View.ML, "R-10224": View.ML,
    "399352003": View.LM, "R-10228": View.LM,
    "399099002": View.LMO, "R-10230": View.LMO,
    "399192008": View.XCCL, "R-1024A": View.XCCL,
    "399101009": View.XCCM, "R-1024B": View.XCCM,
    "399196006": View.FB, "R-10244": View.FB,
    "399188001": View.SIO, "R-102D0": View.SIO,
    "441555000": View.ISO, "R-40AAA": View.ISO,
    "399161006": View.CV, "R-102D2": View.CV,
    "399011000": View.AT, "R-102D1": View.AT,
}  # fmt: skip
"""View Code Sequence (0054,0220), CID 4014, by SNOMED CT code and by the SNOMED RT code that older units write. Some write the modifiers
cleavage and axillary tail (CID 4015) here.
"""

SPECIMEN_CODES = frozenset({"127457009", "G-8310"})
"""The view code of a specimen, which is no view of a breast (CID 4014)."""

MAGNIFICATION, SPOT, IMPLANT_DISPLACED = "magnification", "spot compression", "implant displaced"

MODIFIER_CODES: dict[str, str] = {
    "399163009": MAGNIFICATION, "R-102D6": MAGNIFICATION,
    "399055006": SPOT, "R-102D7": SPOT,
    "399209000": IMPLANT_DISPLACED, "R-102D5": IMPLANT_DISPLACED,
    "399161006": "cleavage", "R-102D2": "cleavage",
    "399011000": "axillary tail", "R-102D1": "axillary tail",
    "399197002": "rolled lateral", "R-102D3": "rolled lateral",
    "399226006": "rolled medial", "R-102D4": "rolled medial",
    "414493004": "rolled inferior", "R-102CA": "rolled inferior",
    "415670009": "rolled superior", "R-102C9": "rolled superior",
    "399110001": "tangential", "R-102C2": "tangential",
    "441752004": "anterior compression", "P2-00161": "anterior compression",
    "442580003": "axillary tissue", "R-40AB2": "axillary tissue",
    "442593008": "infra-mammary fold", "R-40ABE": "infra-mammary fold",
    "442581004": "nipple in profile", "R-40AB3": "nipple in profile",
}  # fmt: skip
"""View Modifier Code Sequence (0054,0222), CID 4015, by SNOMED CT and SNOMED RT code."""

_SIDES = {"L": Laterality.LEFT, "LEFT": Laterality.LEFT, "R": Laterality.RIGHT, "RIGHT": Laterality.RIGHT}
_SIDE_CODES = {"7771000": Laterality.LEFT, "G-A101": Laterality.LEFT, "24028007": Laterality.RIGHT, "G-A100": Laterality.RIGHT}
_OBLIQUE_SIDES = {"FR": Laterality.LEFT, "HL": Laterality.LEFT, "FL": Laterality.RIGHT, "HR": Laterality.RIGHT}


def laterality(dataset: Dataset) -> Laterality | None:
    """The side: Image Laterality, Laterality, anatomic region modifier, View Position, Patient Orientation of an oblique view; None if unknown.

    Never free text such as Series Description, which may be another image's; a wrong side is worse than none.
    """
    return next(_known_sides(dataset), None)


def view(dataset: Dataset) -> View | None:
    """The view: View Code Sequence, View Position, Patient Orientation where a digitiser wrote it there; None if unknown, never by free text."""
    return next(_known_views(dataset), None)


def is_specimen(dataset: Dataset) -> bool:
    return any(text(item, "CodeValue") in SPECIMEN_CODES for item in items(dataset, "ViewCodeSequence"))


def modifiers(dataset: Dataset) -> tuple[str, ...]:
    """The view modifiers in words, an unknown one as its code; they stand inside the view's item, some units put them beside it."""
    inside = [modifier for item in items(dataset, "ViewCodeSequence") for modifier in items(item, "ViewModifierCodeSequence")]
    codes = [text(item, "CodeValue") for item in [*inside, *items(dataset, "ViewModifierCodeSequence")]]
    words = [MODIFIER_CODES.get(code, code) for code in codes if code]
    if re.fullmatch(r"[LR]?[A-Z]+ID", text(dataset, "ViewPosition").upper()):
        words.append(IMPLANT_DISPLACED)
    return tuple(dict.fromkeys(words))


def _known_sides(dataset: Dataset) -> Iterator[Laterality]:
    words = _side_words(dataset)
    if "B" in words:  # both breasts
        return
    yield from (_SIDES[word] for word in words if word in _SIDES)
    for region in items(dataset, "AnatomicRegionSequence"):
        codes = [text(modifier, "CodeValue") for modifier in items(region, "AnatomicRegionModifierSequence")]
        yield from (_SIDE_CODES[value] for value in codes if value in _SIDE_CODES)
    if found := re.fullmatch(r"([LR])(CC|MLO)(ID)?", text(dataset, "ViewPosition").upper()):
        yield _SIDES[found[1]]
    # The oblique view runs down from the outer, upper side to the inner, lower side of the breast: that names the side.
    directions = [direction.upper() for direction in texts(dataset, "PatientOrientation")]
    yield from (_OBLIQUE_SIDES[direction] for direction in directions if direction in _OBLIQUE_SIDES)


def _side_words(dataset: Dataset) -> list[str]:
    words = [text(dataset, keyword) for keyword in ("ImageLaterality", "Laterality")]
    for group in items(dataset, "SharedFunctionalGroupsSequence"):
        words.extend(text(frame, "FrameLaterality") for frame in items(group, "FrameAnatomySequence"))
    return [word.upper() for word in words]


def _known_views(dataset: Dataset) -> Iterator[View]:
    for item in items(dataset, "ViewCodeSequence"):
        if (known := VIEW_CODES.get(text(item, "CodeValue"))) is not None:
            yield known
    for keyword in ("ViewPosition", "PatientOrientation"):
        if (known := _view_position(text(dataset, keyword).upper())) is not None:
            yield known


def _view_position(word: str) -> View | None:
    """View Position (0018,5101): the view, some vendors' with the side before or ``ID`` (implant displaced) behind."""
    for spelling in (word, word.removesuffix("ID"), word[1:] if word[:1] in ("L", "R") else word):
        bare = spelling.removesuffix("ID")
        if bare in View.__members__:
            return View[bare]
    return View.XCCL if word == "XCC" else None
