"""Who a woman is, as images and messages name her: it lives in the ledger only, never in a log, metric or error."""

from __future__ import annotations

from dataclasses import dataclass, field

from dosremc_node.records.images import PatientAndStudy


@dataclass(frozen=True, slots=True, order=True)
class PatientIdentifier:
    """A patient ID and who issued it: Patient ID (0010,0020) with its issuer (0010,0021), or HL7 CX-1 and CX-4.

    Without an issuer it is known by the number alone.
    """

    patient_id: str = field(repr=False)
    issuer: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PatientUpdate:
    """What a message says of a patient (HL7 v2 A08): all the identifiers that it names her by, and her name, birth date and sex.

    Empty text means that the message says nothing of it.
    """

    identifiers: tuple[PatientIdentifier, ...]
    name: str = field(default="", repr=False)
    """As DICOM writes it: family, given, middle, prefix and suffix between carets."""
    birth_date: str = field(default="", repr=False)
    """``YYYYMMDD``."""
    sex: str = ""


@dataclass(frozen=True, slots=True)
class PatientMerge:
    """``prior`` turned out to be the same woman as ``surviving`` (HL7 v2 A40)."""

    prior: PatientIdentifier
    surviving: PatientIdentifier


def differing(one: PatientAndStudy, other: PatientAndStudy) -> tuple[str, ...]:
    """In what two headers contradict each other about the patient. What is empty contradicts nothing."""
    facts = (
        ("patient ID", one.patient_id, other.patient_id),
        ("issuer of patient ID", one.issuer_of_patient_id, other.issuer_of_patient_id),
        ("name", _plain(one.patient_name), _plain(other.patient_name)),
        ("birth date", one.birth_date, other.birth_date),
    )
    return tuple(what for what, first, second in facts if first and second and first != second)


def are_two_women(one: PatientAndStudy, other: PatientAndStudy) -> bool:
    """Whether two headers cannot be taken for one woman's.

    Another patient ID, issuer or birth date is another woman until a person says otherwise. Another name alone is not, where both have
    the same patient ID: women marry, and names are corrected.
    """
    contradictions = differing(one, other)
    same_id = bool(one.patient_id) and one.patient_id == other.patient_id
    return bool(contradictions) and not (contradictions == ("name",) and same_id)


def _plain(name: str) -> str:
    """A person's name without what does not tell people apart: case, empty components at its end, spaces, ideographic forms."""
    alphabetic = name.split("=", maxsplit=1)[0]
    return "^".join(" ".join(part.split()) for part in alphabetic.split("^")).rstrip("^").casefold()
