"""A message as segments and fields. `hl7` takes it apart; what a value means is said elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import hl7

from dosremc_node.errors import MessageRefused
from dosremc_node.messages.envelope import Envelope, decoded, guessed

_NULL = '""'
_NEW_LINE = (".br", ".sp", ".ce")
"""Formatting commands that end a line, whatever number follows (HL7 v2.5.1, 2.7.6)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment, such as PID."""

    name: str
    content: hl7.Segment
    _escapes: _Escapes

    def repetitions(self, field: int) -> Sequence[Repetition]:
        """The repetitions of a field that hold something, counted from 1 as HL7 does; none where the field is not there or empty."""
        if field >= len(self.content):
            return ()
        found = (Repetition(each, self._escapes) for each in self.content[field])
        return [each for each in found if each.component(1) or str(each.content)]

    def text(self, field: int, component: int = 1) -> str:
        """A component of the first repetition of a field, unescaped; empty where it is not there, or where HL7's null stands."""
        repetitions = self.repetitions(field)
        return repetitions[0].component(component) if repetitions else ""


@dataclass(frozen=True, slots=True)
class Repetition:
    """One of the values of a field."""

    content: hl7.Repetition | str
    _escapes: _Escapes

    def component(self, number: int, subcomponent: int = 1) -> str:
        """A component, or a part of it, unescaped; empty where it is not there, or where HL7's null stands."""
        component = _part(self.content, number, hl7.Repetition)
        return self._read(str(_part(component, subcomponent, hl7.Component)))

    @property
    def whole(self) -> str:
        """All of it, unescaped: text (TX, FT, ST) has no components, whatever separators its writer left in it."""
        return self._read(str(self.content))

    def _read(self, text: str) -> str:
        # NUL is no text, also where an escape sequence makes one: PostgreSQL would refuse it.
        return "" if text == _NULL else self._escapes.resolved(text).replace("\0", "").strip()


def _part(whole: object, number: int, kind: type[Sequence[object]]) -> object:
    """What is not divided is its own first part (HL7 v2.5.1, 2.8.3)."""
    if not isinstance(whole, kind):
        return whole if number == 1 else ""
    return whole[number - 1] if number <= len(whole) else ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that could be read."""

    envelope: Envelope
    segments: tuple[Segment, ...]

    def named(self, name: str) -> Iterator[Segment]:
        return (segment for segment in self.segments if segment.name == name)

    def first(self, name: str) -> Segment:
        """The first segment of a name; raises `MessageRefused` where there is none."""
        for segment in self.named(name):
            return segment
        raise MessageRefused(answer="AE", code=100, where=name, why=f"it has no segment {name}")


def parse(content: bytes, envelope: Envelope) -> Message:
    """Take a message apart; raises `MessageRefused` where that cannot be done."""
    text = decoded(content, envelope)
    try:
        parsed = hl7.parse(text)
    except Exception:  # noqa: BLE001 - the boundary: whatever the library makes of nonsense, its text could quote a patient
        raise MessageRefused(answer="AE", code=100, where="", why="it cannot be taken apart into segments") from None
    escapes = _Escapes(text[3], text[4:8])
    segments = tuple(Segment(str(each[0]), each, escapes) for each in parsed if str(each))
    if sum(segment.name == "MSH" for segment in segments) != 1:
        raise MessageRefused(
            answer="AE", code=100, where="MSH", why="there is more than one message in it: send each in a block of its own"
        )
    return Message(envelope, segments)


class _Escapes:
    """Escape sequences (HL7 v2.5.1, 2.7). The library could resolve them too, but logs the field where it fails, and so a patient."""

    def __init__(self, field: str, others: str) -> None:
        component, repetition, escape, subcomponent = tuple(others + "^~\\&"[len(others) :])[:4]
        self._meanings = {"F": field, "S": component, "R": repetition, "E": escape, "T": subcomponent}
        self._sequence = re.compile(f"{re.escape(escape)}([^{re.escape(escape)}]*){re.escape(escape)}")

    def resolved(self, text: str) -> str:
        return self._sequence.sub(self._resolve, text)

    def _resolve(self, found: re.Match[str]) -> str:
        """What a sequence stands for; highlighting and what else has no text of its own is left out."""
        sequence = found[1]
        if sequence[:1] == "X":
            try:
                return guessed(bytes.fromhex(sequence[1:]))
            except ValueError:
                return ""
        if sequence.startswith(_NEW_LINE):
            return "\n"
        return self._meanings.get(sequence, "")
