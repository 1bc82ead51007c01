"""Whatever holds outcomes, to reports: a message, a file of any of the formats."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from dosremc_node.errors import MessageRefused, OutcomesUnreadable
from dosremc_node.messages import Message, parse, read_envelope
from dosremc_node.outcomes import fhir, hl7_oru
from dosremc_node.outcomes.judging import Knowledge
from dosremc_node.outcomes.reports import reports_of
from dosremc_node.outcomes.results import Result
from dosremc_node.outcomes.site_rules import read_codes, read_text_rules
from dosremc_node.outcomes.table import read_table
from dosremc_node.outcomes.vocabulary import Vocabulary
from dosremc_node.records import OutcomeReport
from dosremc_node.settings import OutcomeSettings

_LARGEST_FILE = 64 << 20
_BOM: Final = b"\xef\xbb\xbf"
_FRAMING: Final = re.compile(rb"[\x0b\x1c]")
"""MLLP's, which some archives of messages keep."""
_MESSAGE: Final = re.compile(rb"(?:\A|(?<=[\r\n]))(?=MSH[^\w\s])")
_BATCH: Final = (b"FHS", b"BHS")


class OutcomeReader:
    """Reads what this site's systems send. Raises `SiteRulesUnreadable` where the site's own files are wrong."""

    def __init__(self, settings: OutcomeSettings) -> None:
        vocabulary = Vocabulary(read_codes(settings.codes_file))
        self._knowledge = Knowledge(vocabulary, read_text_rules(settings.text_rules_file), settings.breast_only)
        self._accession_fields = settings.accession_fields

    def read_message(self, content: bytes) -> Sequence[OutcomeReport]:
        """The reports of a message ORU^R01; raises `MessageRefused`."""
        return self._reports(hl7_oru.results_of(_parsed(content), self._knowledge.vocabulary, self._accession_fields))

    def read_file(self, file: Path) -> Sequence[OutcomeReport]:
        """The reports of a file, whatever its name: HL7 v2 (one message or many), FHIR JSON, or CSV. Raises `OutcomesUnreadable`."""
        content = _content(file).removeprefix(_BOM)
        beginning = content.lstrip(b" \t\r\n\x0b")
        if beginning.startswith((b"MSH", *_BATCH)):
            return [report for message in _messages(content) for report in self._from_file(message)]
        text = _text(content)
        if beginning.startswith((b"{", b"[")):
            return self._reports(fhir.results_of(text, self._knowledge.vocabulary))
        if beginning.startswith(b"<"):
            raise OutcomesUnreadable(why="it is XML: FHIR is read as JSON")
        return read_table(text, self._knowledge)

    def _from_file(self, message: bytes) -> Sequence[OutcomeReport]:
        try:
            return self.read_message(message)
        except MessageRefused as refused:
            raise OutcomesUnreadable(why=f"a message in it cannot be worked on: {refused.facts['why']}") from None

    def _reports(self, results: Sequence[Result]) -> Sequence[OutcomeReport]:
        return [report for result in results for report in reports_of(result, self._knowledge)]


def read_file(file: Path, settings: OutcomeSettings | None = None) -> Sequence[OutcomeReport]:
    """The reports of a file, by the site's settings; raises `OutcomesUnreadable` and `SiteRulesUnreadable`."""
    return OutcomeReader(settings or OutcomeSettings()).read_file(file)


def _parsed(content: bytes) -> Message:
    envelope = read_envelope(content)
    if envelope is None or envelope.type not in hl7_oru.TYPES:
        raise MessageRefused(answer="AR", code=200, where="MSH^1^9^1^1", why="it is no ORU^R01")
    return parse(content, envelope)


def _messages(content: bytes) -> Iterator[bytes]:
    """The messages of a file, of a batch too: the segments around them say nothing of outcomes."""
    for part in _MESSAGE.split(_FRAMING.sub(b"\r", content)):
        if part.startswith(b"MSH"):
            yield part


def _content(file: Path) -> bytes:
    """A file's bytes. A link is not followed: whoever may put a file here could name any other by it."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            content = opened.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise OutcomesUnreadable(why=error.strerror or type(error).__name__) from None
    if len(content) > _LARGEST_FILE:
        raise OutcomesUnreadable(why=f"it is larger than {_LARGEST_FILE >> 20} MB")
    return content


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")  # as spreadsheets write it
