"""The header segment of a message (MSH; FHS or BHS of a batch): who sends it, what it is, in which characters it is written.

It is read before the rest, and of messages that are wrong in every other respect, because even those are to be answered.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from dosremc_node.errors import MessageRefused

_HEADERS = ("MSH", "FHS", "BHS")
_LONGEST_HEADER = 8192
_BLANKS = " \t"
"""No others: read byte by byte, part of a letter may look like one."""

CHARACTER_SETS: Final = {
    "ASCII": "ascii",
    **{f"8859/{part}": f"iso8859_{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "ISO IR6": "ascii",
    "ISO IR14": "shift_jis",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    # Not in HL7 table 0211, and sent all the same.
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "ISO-8859-1": "iso8859_1",
    "ISO8859-1": "iso8859_1",
    "8859-1": "iso8859_1",
    "WINDOWS-1252": "cp1252",
}
"""HL7 table 0211 (MSH-18) to Python's codecs."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A header segment. ``fields[n]`` is MSH-n as it stands there, read byte by byte (ISO 8859-1) so that it can be sent back unchanged."""

    segment: str
    fields: tuple[str, ...]

    def field(self, number: int) -> str:
        return self.fields[number].strip(_BLANKS) if number < len(self.fields) else ""

    def component(self, number: int, component: int) -> str:
        parts = self.field(number).split(self.component_separator)
        return parts[component - 1].strip(_BLANKS) if component <= len(parts) else ""

    @property
    def separator(self) -> str:
        return self.fields[1] if len(self.fields) > 1 else "|"

    @property
    def encoding_characters(self) -> str:
        return self.field(2) or "^~\\&"

    @property
    def component_separator(self) -> str:
        return self.encoding_characters[0]

    @property
    def is_batch(self) -> bool:
        return self.segment != "MSH"

    @property
    def type(self) -> str:
        """Message code and trigger event, such as ``ADT^A08``; empty where it is none."""
        return "" if self.is_batch else "^".join(filter(None, (self.component(9, 1), self.component(9, 2))))

    @property
    def control_id(self) -> str:
        return self.field(11 if self.is_batch else 10)

    @property
    def sender(self) -> str:
        """Sending application and facility."""
        return " at ".join(filter(None, (self.component(3, 1), self.component(4, 1))))

    @property
    def version(self) -> str:
        return self.component(12, 1)


NO_ENVELOPE: Final = Envelope("MSH", ("MSH", "|", "^~\\&"))
"""What is assumed of a message that has none."""


def read_envelope(content: bytes) -> Envelope | None:
    """The header segment of a message; None where it begins with none."""
    beginning = content.removeprefix(codecs.BOM_UTF8).lstrip()[:_LONGEST_HEADER]
    # As bytes: of text, a byte of a letter such as the second of "Å" in UTF-8 would end a line too.
    line = re.split(rb"[\r\n]", beginning, maxsplit=1)[0].decode("iso8859_1")
    if line[:3] not in _HEADERS or len(line) < len("MSH|^~\\&"):
        return None
    # The separator between the fields is itself the first of them.
    return Envelope(line[:3], (line[:3], line[3], *line[4:].split(line[3])))


def decoded(content: bytes, envelope: Envelope) -> str:
    """The message as text, its segments ended by CR; raises `MessageRefused` where its bytes are not what MSH-18 says.

    Without MSH-18 it is read as UTF-8 where its bytes are that, and as ISO 8859-1 where they are not: senders leave it out with either.
    """
    named = envelope.field(18).split(envelope.encoding_characters[1:2] or "~")[0].strip().upper()
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode(_codec(named)) if named else guessed(content)
    except UnicodeDecodeError:
        raise MessageRefused(
            answer="AE", code=102, where="MSH^1^18", why="its bytes are not in the character set that MSH-18 names"
        ) from None
    return _with_carriage_returns(text.lstrip()).rstrip("\r")


def _codec(named: str) -> str:
    if named not in CHARACTER_SETS:
        raise MessageRefused(answer="AE", code=103, where="MSH^1^18", why="MSH-18 names a character set that is not known here")
    return CHARACTER_SETS[named]


def guessed(content: bytes) -> str:
    """UTF-8 where its bytes are that, and ISO 8859-1 where they are not."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("iso8859_1")


def _with_carriage_returns(text: str) -> str:
    """Segments end with CR. Where a message has no CR at all its line feeds are meant to, and where it has both they are only added."""
    return text.replace("\r\n", "\r") if "\r" in text else text.replace("\n", "\r")
