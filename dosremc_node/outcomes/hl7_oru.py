"""ORU^R01 of HL7 v2 (2.1 to 2.8): results, order by order. What they mean is said elsewhere.

HL7 v2.5.1, 7.3.1: a message has patients, a patient orders (ORC, OBR), an order observations (OBX) and, from 2.5 on, specimens (SPM)
with observations of their own. Before, OBR-15 described the only specimen; OBX-4 tells several apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dosremc_node.errors import MessageRefused
from dosremc_node.messages import Message, Repetition, Segment
from dosremc_node.outcomes.results import Observation, Result
from dosremc_node.outcomes.site_rules import Question
from dosremc_node.outcomes.systems import CodedValue
from dosremc_node.outcomes.timestamps import day_of, moment_of
from dosremc_node.outcomes.vocabulary import Vocabulary
from dosremc_node.records import OutcomeStatus, PatientIdentifier

TYPES: Final = ("ORU^R01", "ORU")
"""Message types that are results; the event was left out by some before version 2.3."""
_STATUSES: Final = {
    **dict.fromkeys("FUV", OutcomeStatus.FINAL),
    **dict.fromkeys("CA", OutcomeStatus.CORRECTED),
    **dict.fromkeys("DWX", OutcomeStatus.WITHDRAWN),
    **dict.fromkeys("PRSI", OutcomeStatus.PRELIMINARY),
}
"""OBX-11 (HL7 table 0085). U: final now, as it was sent before."""
_ORDER_STATUSES: Final = {**_STATUSES, "A": OutcomeStatus.PRELIMINARY, "X": OutcomeStatus.WITHDRAWN, "O": None}
"""OBR-25 (HL7 table 0123). A: some results, not all."""
_NOT_A_RESULT = ("N", "O")
_OTHER_SERVICES: Final = frozenset(
    {
        *("RAD", "RX", "RUS", "CUS", "VUS", "OUS", "CT", "CTH", "NMR", "NMS", "NMT", "MRI", "IMG", "RT", "XRC", "VR"),
        *("BG", "BLB", "CH", "HM", "IMM", "MB", "MCB", "MYC", "SR", "TX", "VIR", "EC", "EN", "PF", "PHR", "PHY", "PT", "RC", "NRS", "ICU"),
    }
)
"""OBR-24 (HL7 table 0074): what images, blood and other services of a hospital say is no pathology of tissue."""
_SIDE_TABLE = "HL70495"
_CODED, _DOCUMENTS = ("CE", "CWE", "CNE", "CF", "IS", "ID"), ("ED", "RP")
_TEXTS = ("TX", "FT", "ST", "")
_PATIENT_NUMBERS = ("MR", "PI", "PT", "")
"""CX-5: a hospital's number of a patient is preferred to her insurance's."""


@dataclass(slots=True)
class _Order:
    """An order with the segments that belong to it, in their sequence."""

    patient: Segment
    common: Segment | None
    request: Segment
    members: list[Segment] = field(default_factory=list)

    def field(self, name: str) -> str:
        """A field such as OBR-18; empty where it is not there."""
        segment, number = name.split("-")
        members = {each.name: each for each in reversed(self.members)}
        found = {**members, "ORC": self.common, "OBR": self.request}.get(segment)
        return found.text(int(number)) if found else ""


def check(message: Message) -> None:
    """Raise `MessageRefused` where a message could not be worked on: before it is acknowledged."""
    for order in _orders(message):
        _patient(order.patient)
        _number(order)


def results_of(message: Message, vocabulary: Vocabulary, accession_fields: Sequence[str]) -> Sequence[Result]:
    """The results of a message, one for each number; raises `MessageRefused`."""
    header = message.first("MSH")
    source = " at ".join(filter(None, (header.text(each) or header.text(each, 2) for each in (3, 4)))) or "HL7"
    by_number: dict[tuple[PatientIdentifier, str], list[_Order]] = {}
    for order in _orders(message):
        by_number.setdefault((_patient(order.patient), _number(order)), []).append(order)
    return [
        Result(
            source,
            number,
            patient,
            next(filter(None, (order.field(each) for each in accession_fields for order in orders)), ""),
            moment_of(orders[0].request.text(22)),
            tuple(each for order in orders for each in _observations(order, vocabulary)),
        )
        for (patient, number), orders in by_number.items()
    ]


def _orders(message: Message) -> Sequence[_Order]:
    patient, common, orders = message.first("PID"), None, list[_Order]()
    for segment in message.segments:
        if segment.name == "PID":
            patient, common = segment, None
        elif segment.name == "ORC":
            common = segment
        elif segment.name == "OBR":
            orders.append(_Order(patient, common, segment))
        elif orders and segment.name in ("OBX", "SPM", "IPC"):
            orders[-1].members.append(segment)
    if not orders:
        raise MessageRefused(answer="AE", code=100, where="OBR", why="it has no segment OBR")
    return orders


def _patient(patient: Segment) -> PatientIdentifier:
    numbers = [each for each in (*patient.repetitions(3), *patient.repetitions(2)) if each.component(1)]
    if not numbers:
        raise MessageRefused(answer="AE", code=101, where="PID^1^3", why="PID-3 has no identifier")
    best = min(numbers, key=lambda each: each.component(5) not in _PATIENT_NUMBERS)
    return PatientIdentifier(best.component(1), best.component(4) or best.component(4, 2))


def _number(order: _Order) -> str:
    """The number of a result at its source: the laboratory's, or else that of the order."""
    for name in ("OBR-3", "ORC-3", "OBR-2", "ORC-2"):
        if number := order.field(name):
            return number
    why = "OBR-3 does not number the result, so that a correction of it could not be told"
    raise MessageRefused(answer="AE", code=101, where="OBR^1^3", why=why)


# --- Observations -----------------------------------------------------------------------------------------------------


def _observations(order: _Order, vocabulary: Vocabulary) -> Iterator[Observation]:
    if order.request.text(24) in _OTHER_SERVICES:
        return
    status = _ORDER_STATUSES.get(order.request.text(25))
    if status is OutcomeStatus.WITHDRAWN and not any(each.name == "OBX" for each in order.members):
        yield Observation("", "", Question.DIAGNOSIS, status)
    specimens = [each for each in order.members if each.name == "SPM"]
    current = specimens[0] if len(specimens) == 1 else None
    for segment in order.members:
        if segment.name == "SPM":
            current = segment
        elif segment.name == "OBX" and segment.text(11) not in _NOT_A_RESULT:
            specimen = _linked(segment, specimens) or current
            yield _observation(order, segment, specimen, len(specimens), vocabulary)


def _observation(order: _Order, segment: Segment, specimen: Segment | None, specimens: int, vocabulary: Vocabulary) -> Observation:
    answers, text, is_document = _value(segment)
    request = order.request
    sites = (
        tuple(_codes(segment, 20)),
        tuple(_specimen_sites(specimen)) if specimen else (),
        (*_source_of(request), *_codes(request, 4), *_codes(request, 44), *_codes(request, 46)),
    )
    days = (specimen.text(17) if specimen else "", request.text(7), segment.text(14))
    order_status = _ORDER_STATUSES.get(request.text(25))
    status = _STATUSES.get(segment.text(11), order_status)
    if order_status is OutcomeStatus.CORRECTED and status is OutcomeStatus.FINAL:
        status = OutcomeStatus.CORRECTED
    question = vocabulary.question(_codes(segment, 3))
    if question is Question.SITE:
        answers = tuple(map(_side_modifier, answers))
    return Observation(
        part=_part(segment, specimen, specimens),
        number=".".join(filter(None, (request.text(1), segment.text(1)))),
        question=question,
        status=status,
        answers=answers,
        text=text,
        sites=(*sites, _modifiers(segment)),
        is_document=is_document,
        taken_on=next((day for each in days if (day := day_of(each))), None),
    )


def _value(segment: Segment) -> tuple[tuple[CodedValue, ...], str, bool]:
    """OBX-5: codes, text, or a document. Repetitions are further codes, or further lines."""
    kind, values = segment.text(2), segment.repetitions(5)
    if kind in _CODED:
        coded = tuple(code for each in values for code in _coded(each))
        return coded, "\n".join(code.text for code in coded if not code.code), False
    if kind in _TEXTS:
        return (), "\n".join(each.whole for each in values), False
    return (), "", kind in _DOCUMENTS


def _part(segment: Segment, specimen: Segment | None, specimens: int) -> str:
    """The specimen where there are several; else OBX-4, of which what follows a point divides further."""
    if specimens > 1:
        return _specimen_id(specimen) if specimen else ""
    return "" if specimen else segment.text(4).split(".")[0]


def _linked(segment: Segment, specimens: Sequence[Segment]) -> Segment | None:
    """The specimen that OBX-4 or, from 2.9 on, OBX-33 names."""
    named = {segment.text(4).split(".")[0], segment.text(33)} - {""}
    return next((each for each in specimens if named & {each.text(1), _specimen_id(each)}), None)


def _specimen_id(specimen: Segment) -> str:
    return specimen.text(2, 2) or specimen.text(2) or specimen.text(1)


# --- Codes ------------------------------------------------------------------------------------------------------------


def _codes(segment: Segment, number: int) -> Iterator[CodedValue]:
    for repetition in segment.repetitions(number):
        yield from _coded(repetition)


def _coded(repetition: Repetition) -> Iterator[CodedValue]:
    """CWE: a code, its alternate and, from 2.7 on, a second one, each of them or its text alone; and the original text."""
    for first in (1, 4, 10):
        code, text, system = (repetition.component(first + each) for each in range(3))
        if first > 1 and code in _SIDE_LETTERS and not system:
            continue  # a modifier, and no alternate
        if code or text:
            yield CodedValue(code, system, text)
    if original := repetition.component(9):
        yield CodedValue(text=original)


def _specimen_sites(specimen: Segment) -> Iterator[CodedValue]:
    """Type and its modifier, site and its modifier, and the description."""
    for number in (4, 8):
        yield from _codes(specimen, number)
    for number in (5, 9):
        yield from map(_side_modifier, _codes(specimen, number))
    yield from (CodedValue(text=each.component(1)) for each in specimen.repetitions(14))


def _source_of(request: Segment) -> Iterator[CodedValue]:
    """OBR-15 (until 2.6): what it is, in words, from which site, and the site's modifier; each of them may be a code in parts."""
    for repetition in request.repetitions(15):
        for component in (1, 4, 5):
            code, text, system = (repetition.component(component, each) for each in (1, 2, 3))
            value = CodedValue(code, system, text or code)
            if code or text:
                yield _side_modifier(value) if component == 5 else value
        yield CodedValue(text=repetition.component(3))
        yield CodedValue(text=" ".join(repetition.component(1, each) for each in range(4, 11)).strip())


def _modifiers(segment: Segment) -> tuple[CodedValue, ...]:
    """Sides beside the question and beside the answers: after a code, such as ``&L``, or in place of an alternate that names no system."""
    values = [*segment.repetitions(3), *(segment.repetitions(5) if segment.text(2) in _CODED else ())]
    parts = (each.component(*place) for each in values for place in ((1, 2), (2, 2), *(() if each.component(6) else ((4, 1),))))
    return tuple(CodedValue(part, _SIDE_TABLE) for part in parts if part in _SIDE_LETTERS)


_SIDE_LETTERS: Final[Mapping[str, None]] = dict.fromkeys(("L", "R", "B"))


def _side_modifier(value: CodedValue) -> CodedValue:
    """Where a modifier names no table, its letters are those of HL7's."""
    return CodedValue(value.code, _SIDE_TABLE, value.text) if value.code in _SIDE_LETTERS and not value.system else value
