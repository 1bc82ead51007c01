"""What a code says of a breast: malignant or not, which side, which organ.

*Malignant* is what the ACR's audit counts as cancer (BI-RADS Atlas, 5th edition, follow-up and outcome monitoring; MQSA, 21 CFR 900.12(f)):
every invasive carcinoma and ductal carcinoma in situ, and besides what DICOM lists beside them (CID 6033: sarcoma, lymphoma of the breast).
Lobular carcinoma in situ, atypical hyperplasia and phyllodes tumours are *high risk* (CID 6032): an excision turns some of them into
cancers, so a person decides. A metastasis, or a tumour of which the behaviour is uncertain (ICD-O /1, /6, /9), is *uncertain* and a
person's too. What no table knows is unknown, and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final, cast

from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping

from dosremc_node.outcomes.systems import System
from dosremc_node.records import Laterality

LEFT, RIGHT = frozenset({Laterality.LEFT}), frozenset({Laterality.RIGHT})
BOTH = LEFT | RIGHT


class Verdict(StrEnum):
    """What a code makes of a breast."""

    MALIGNANT = "malignant"
    HIGH_RISK = "high risk"
    UNCERTAIN = "uncertain"
    """It is known, and does not decide by itself."""
    BENIGN = "benign"
    NORMAL = "normal"


class Organ(StrEnum):
    """Of what the tissue is."""

    BREAST = "breast"
    NODES = "nodes"
    """The axilla and its lymph nodes: what is found there says nothing certain of the breast."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says, as far as it says anything."""

    verdict: Verdict | None = None
    sides: frozenset[Laterality] = frozenset()
    organ: Organ | None = None


def standard_meaning(code: str, system: System | None) -> Meaning | None:
    """What a code of a published coding system says; None where that is not known."""
    read = _READERS.get(system) if system else None
    return read(code.strip().upper()) if read else None


_SIDE_LETTERS: Final = {"L": Meaning(sides=LEFT), "R": Meaning(sides=RIGHT), **dict.fromkeys(("B", "BIL"), Meaning(sides=BOTH))}

# --- SNOMED and DICOM -------------------------------------------------------------------------------------------------

_CANCER = Meaning(Verdict.MALIGNANT, organ=Organ.BREAST)
_SNOMED_CT: Final = {
    # CID 244, CID 6022
    "7771000": Meaning(sides=LEFT),
    "24028007": Meaning(sides=RIGHT),
    "51440002": Meaning(sides=BOTH),
    "80248007": Meaning(sides=LEFT, organ=Organ.BREAST),
    "73056007": Meaning(sides=RIGHT, organ=Organ.BREAST),
    "63762007": Meaning(sides=BOTH, organ=Organ.BREAST),
    # Disorders of the breast that laboratories send in place of a morphology
    "254837009": _CANCER,  # malignant neoplasm of breast
    "254838004": _CANCER,  # carcinoma of breast
    "408643008": _CANCER,  # infiltrating duct carcinoma of breast
    "278054005": _CANCER,  # infiltrating lobular carcinoma of breast
    "109889007": _CANCER,  # ductal carcinoma in situ of breast
    "399935008": Meaning(Verdict.MALIGNANT),  # ductal carcinoma in situ, category (CAP)
}
_NODES = frozenset({"111251", "111252", "111253", "59441001"})
"""Listed as benign pathology in CID 6031: of lymph nodes of the axilla."""
_UNDECIDED = frozenset(
    {
        *("111300", "111301", "111330", "111333"),  # nodes with lymphoma or metastases
        *("111303", "111309", "111320"),  # invasion of vessels, cartilaginous change: of a lesion that another code names
        *("111323", "111324", "111325", "111326", "111327", "111328", "111318"),  # metastases to the breast, leukaemia
        *("110451006", "128736003", "126510002"),  # spindle cell nodule, haemangiopericytoma, neoplasm of the skin
    }
)
"""Listed as malignant in CID 6033, and by themselves no cancer of the breast."""
_GROUPS: Final = ((6031, Verdict.BENIGN), (6032, Verdict.HIGH_RISK), (6033, Verdict.MALIGNANT))
_BREAST_SPECIMENS = 8104
_Concepts = Mapping[str, Mapping[str, tuple[str, Sequence[int]]]]


@cache
def _published() -> dict[tuple[str, str], Meaning]:
    """The codes of CID 6031 to 6033 and 8104, as pydicom has them."""
    found = {key: Meaning(verdict) for cid, verdict in _GROUPS for key in _codes_of(cid)}
    found |= dict.fromkeys(_codes_of(_BREAST_SPECIMENS), Meaning(organ=Organ.BREAST))
    for key in found:
        if key[1] in _UNDECIDED:
            found[key] = Meaning(Verdict.UNCERTAIN)
        elif key[1] in _NODES:
            found[key] = Meaning(Verdict.BENIGN, organ=Organ.NODES)
    return found | {("SCT", code): meaning for code, meaning in _SNOMED_CT.items()}


def _codes_of(cid: int) -> Iterator[tuple[str, str]]:
    for scheme, keywords in cid_concepts[cid].items():
        table = cast("_Concepts", concepts[scheme])
        for keyword in keywords:
            yield from ((scheme, code) for code, (_, cids) in table[keyword].items() if cid in cids)


def _snomed(code: str) -> Meaning | None:
    """By its form: senders call all of them SNOMED."""
    return _snomed_ct(code) if code.isdigit() else _snomed_3(code)


def _snomed_ct(code: str) -> Meaning | None:
    """By the tables, or by its older identifier (SNOMED RT), in which topography and morphology can be read."""
    return _published().get(("SCT", code)) or _old_snomed(mapping["SCT"].get(code, ""))


def _snomed_3(code: str) -> Meaning | None:
    code = re.sub(r"^([A-CE-Z]|D[0-9A-F])-?([0-9A-F]{4,5})$", r"\1-\2", code)
    newer = mapping["SRT"].get(code)
    return (newer and _published().get(("SCT", newer))) or _old_snomed(code)


def _old_snomed(code: str) -> Meaning | None:
    """T-04 is the breast, the last figure of M-8 and M-9 the behaviour, as in ICD-O."""
    if re.fullmatch(r"T-[0-9A-F]{4,5}", code):
        organ = next((organ for beginning, organ in _OLD_ORGANS if code.startswith(beginning)), Organ.OTHER)
        return Meaning(sides=_OLD_SIDES.get(code, frozenset()), organ=organ)
    morphology = re.fullmatch(r"M-([89]\d{3})(\d)", code)
    return _morphology(morphology[1], morphology[2]) if morphology else None


_OLD_SIDES: Final = {"T-04020": RIGHT, "T-04030": LEFT, "T-04080": BOTH}

_OLD_ORGANS: Final = (("T-04", Organ.BREAST), ("T-08", Organ.NODES), ("T-C4", Organ.NODES))

# --- ICD-O and ICD-10 -------------------------------------------------------------------------------------------------

_BEHAVIOURS: Final = {"0": Verdict.BENIGN, "1": Verdict.UNCERTAIN, "2": Verdict.MALIGNANT, "3": Verdict.MALIGNANT}
_LOBULAR_IN_SITU = ("8519", "8520")


def _morphology(histology: str, behaviour: str) -> Meaning | None:
    """ICD-O: /0 benign, /1 uncertain, /2 in situ, /3 malignant, /6 metastatic, /9 malignant, whether primary or not."""
    if behaviour == "2" and histology in _LOBULAR_IN_SITU:
        return Meaning(Verdict.HIGH_RISK)
    if behaviour in "69":
        return Meaning(Verdict.UNCERTAIN)
    return Meaning(_BEHAVIOURS[behaviour]) if behaviour in _BEHAVIOURS else None


def _icd_o(code: str) -> Meaning | None:
    morphology = re.fullmatch(r"M?-?(\d{4})/?(\d)(?:/?\d)?", code)
    if morphology:
        return _morphology(morphology[1], morphology[2])
    topography = re.fullmatch(r"C(\d\d)\.?\d?", code)
    if topography is None:
        return None
    return Meaning(organ=_ICD_O_ORGANS.get(topography[1], Organ.OTHER))


_ICD_O_ORGANS: Final = {
    "50": Organ.BREAST,
    "77": Organ.NODES,
    # Skin, soft tissue, ill-defined and unknown: they may be of the breast.
    **dict.fromkeys(("44", "49", "76", "80"), None),
}


_ICD_10: Final = (
    (r"C50", Meaning(Verdict.MALIGNANT, organ=Organ.BREAST)),
    (r"D05\.?1", Meaning(Verdict.MALIGNANT, organ=Organ.BREAST)),
    (r"D05\.?0", Meaning(Verdict.HIGH_RISK, organ=Organ.BREAST)),
    # In situ and not said to be ductal; of uncertain behaviour; a lump; a secondary tumour
    (r"D05|D48\.?6|D49\.?3|N63|C79\.?81", Meaning(Verdict.UNCERTAIN, organ=Organ.BREAST)),
    (r"D24|N6[0-2]|N64\.?1", Meaning(Verdict.BENIGN, organ=Organ.BREAST)),
    # Why she came, not what was found: screening, symptoms, history
    (r"R92|N64|Z12|Z80|Z85|Z90|Z08|Z09", Meaning()),
    (r"C77", Meaning(Verdict.UNCERTAIN, organ=Organ.NODES)),
    (r"C\d\d|D[0-4]\d", Meaning(organ=Organ.OTHER)),
)
_CM_SIDES: Final = (r"C50\.?\d[12]([129])", r"D05\.?\d([0129])", r"D24\.?([129])", r"N60\.?\d([129])", r"N63\.?([123])\d")
"""Where the clinical modification says right (1) or left (2); WHO's codes are shorter."""


def _icd_10(code: str) -> Meaning | None:
    """ICD-10, with the letters that the German modification adds: V suspected, A excluded, Z of long ago; L, R, B the side."""
    parts = re.fullmatch(r"([A-Z]\d\d(?:\.?[\dA-Z]{1,4}?)?)[-+*!]?((?:\s*[GVAZLRB]){0,2})", code)
    if parts is None:
        return None
    meaning = next((meaning for pattern, meaning in _ICD_10 if re.match(pattern, parts[1])), None)
    if meaning is None:
        return None
    letters = set(parts[2].split()) | set(parts[2].strip())
    verdict = Verdict.UNCERTAIN if meaning.verdict and letters & set("VAZ") else meaning.verdict
    sides = next((_SIDE_LETTERS[each].sides for each in "LRB" if each in letters), _cm_side(parts[1]))
    return Meaning(verdict, sides, meaning.organ)


def _cm_side(code: str) -> frozenset[Laterality]:
    for pattern in _CM_SIDES:
        if found := re.fullmatch(pattern, code):
            return {"1": RIGHT, "2": LEFT}.get(found[1], frozenset())
    return frozenset()


_READERS: Final[Mapping[System, Callable[[str], Meaning | None]]] = {
    System.SNOMED_CT: _snomed,
    System.SNOMED_3: _snomed,
    System.DICOM: lambda code: _published().get(("DCM", code)),
    System.ICD_O: _icd_o,
    System.ICD_10: _icd_10,
    System.ICD_10_CM: _icd_10,
    System.SIDE: _SIDE_LETTERS.get,
}
