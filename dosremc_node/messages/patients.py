"""What the messages of patient administration (ADT) say: updates (A08, A31) and merges (A40, and A18, A34 of older versions).

HL7 v2.5.1, 3.3 and 3.4.2: PID-3 (PID-2 in version 2.2) has the patient's identifiers, MRG-1 those that are no longer to be used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from dosremc_node.errors import MessageRefused
from dosremc_node.messages.parsing import Message, Repetition, Segment
from dosremc_node.records import PatientIdentifier, PatientMerge, PatientUpdate

_LEGAL_NAME = "L"


def update_of(message: Message) -> Sequence[PatientUpdate]:
    """What A08 says of a patient; raises `MessageRefused`."""
    patient = message.first("PID")
    birth_date = patient.text(7)[:8]
    return [PatientUpdate(_identifiers_of(patient), _name(patient), birth_date if _is_date(birth_date) else "", patient.text(8)[:1])]


def merges_of(message: Message) -> Sequence[PatientMerge]:
    """Which patients A40 merges, one pair for each identifier that is given up; raises `MessageRefused`."""
    merges = [merge for survivor, prior in _pairs(message) for merge in _merges(survivor, prior)]
    if not merges:
        raise MessageRefused(answer="AE", code=204, where="MRG^1^1", why="the patient is merged with herself: there is nothing to do")
    return merges


EVENTS: Final[Mapping[str, Callable[[Message], Sequence[PatientUpdate | PatientMerge]]]] = {
    "ADT^A08": update_of,
    "ADT^A31": update_of,
    "ADT^A40": merges_of,
    "ADT^A34": merges_of,
    "ADT^A18": merges_of,
}


def _pairs(message: Message) -> Iterator[tuple[Segment, Segment]]:
    """Each MRG with the PID that it follows: a message may merge several pairs."""
    survivor, unmatched = None, True
    for segment in message.segments:
        if segment.name == "PID":
            survivor, unmatched = segment, True
        elif segment.name == "MRG":
            if survivor is None:
                raise MessageRefused(answer="AE", code=100, where="MRG", why="MRG stands before any PID")
            yield survivor, segment
            unmatched = False
    if unmatched:
        raise MessageRefused(answer="AE", code=100, where="MRG", why="PID is not followed by MRG, so nobody is named who is merged")


def _merges(survivor: Segment, prior: Segment) -> Iterator[PatientMerge]:
    surviving = _identifiers_of(survivor)
    given_up = _identifiers(prior.repetitions(1))
    if not given_up:
        raise MessageRefused(answer="AE", code=101, where="MRG^1^1", why="MRG-1 has no identifier")
    for identifier in given_up:
        # An identifier is merged into that of the same issuer; where there is none, into the first.
        into = next((each for each in surviving if each.issuer == identifier.issuer), surviving[0])
        if into != identifier:
            yield PatientMerge(prior=identifier, surviving=into)


def _identifiers_of(patient: Segment) -> tuple[PatientIdentifier, ...]:
    found = _identifiers(patient.repetitions(3)) or _identifiers(patient.repetitions(2))
    if not found:
        raise MessageRefused(answer="AE", code=101, where="PID^1^3", why="PID-3 has no identifier")
    return found


def _identifiers(repetitions: Sequence[Repetition]) -> tuple[PatientIdentifier, ...]:
    """CX: the ID in the first component, in the fourth who issued it (HD: its name, or else its universal ID)."""
    found = (PatientIdentifier(each.component(1), each.component(4) or each.component(4, 2)) for each in repetitions)
    return tuple(dict.fromkeys(each for each in found if each.patient_id))


def _name(patient: Segment) -> str:
    """XPN, as DICOM writes a person's name: prefix before suffix."""
    names = patient.repetitions(5)
    legal = next((each for each in names if each.component(7) == _LEGAL_NAME), names[0] if names else None)
    return "^".join(legal.component(place) for place in (1, 2, 3, 5, 4)).rstrip("^") if legal else ""


def _is_date(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 - a birth date has no time zone
    except ValueError:
        return False
    return len(text) == 8
