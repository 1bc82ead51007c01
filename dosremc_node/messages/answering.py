"""From the bytes of a message to its answer: read, judged, entered in the ledger, and only then acknowledged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from dosremc_node.errors import LedgerUnavailable, MessageRefused
from dosremc_node.failures import describe
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.messages import IncomingMessage, MessageState, enter_message
from dosremc_node.messages.acknowledgement import acknowledgements
from dosremc_node.messages.envelope import NO_ENVELOPE, Envelope, read_envelope
from dosremc_node.messages.parsing import Message, parse
from dosremc_node.messages.patients import EVENTS
from dosremc_node.records import PatientMerge, PatientUpdate
from dosremc_node.settings import MessageSettings

log = structlog.get_logger(__name__)

Check = Callable[[Message], None]
"""Raises `MessageRefused` where a message that is worked on later could not be."""


@dataclass(frozen=True, slots=True)
class _Judgement:
    state: MessageState
    refused: MessageRefused | None = None
    changes: Sequence[PatientUpdate | PatientMerge] = ()


class Answering:
    """Answers messages. May be asked by several threads at once.

    Patients are updated and merged at once. What is named in ``waiting`` (such as ``ORU^R01``) is checked, and kept for whoever works on
    it later. All else is unknown, and answered as the settings say.
    """

    def __init__(self, ledger: Ledger, settings: MessageSettings, waiting: Mapping[str, Check] | None = None) -> None:
        self._ledger = ledger
        self._settings = settings
        self._waiting = waiting or {}

    def answer(self, content: bytes, peer_address: str) -> Sequence[bytes]:
        """The acknowledgements of a message, which is in the ledger by then; nothing is raised."""
        envelope, now = read_envelope(content), datetime.now(UTC)
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            judgement = self._judged(content, envelope)
            envelope = envelope or NO_ENVELOPE
            incoming = IncomingMessage(sha256, content, envelope.type, envelope.control_id, envelope.sender, peer_address, now)
            entered = enter_message(self._ledger, incoming, judgement.state, _reason(judgement), judgement.changes)
        except Exception as error:  # noqa: BLE001 - the boundary: a message that cannot be entered is not accepted, and the next one is served
            why = str(error) if isinstance(error, LedgerUnavailable) else describe(error)
            log.error("message_not_entered", sha256=sha256[:12], reason=why)  # noqa: TRY400 - a traceback could quote a patient
            return acknowledgements(envelope or NO_ENVELOPE, _not_entered(), now)
        log.info("message_received", sha256=sha256[:12], state=judgement.state, again=not entered)
        refused = judgement.refused if entered else None
        return acknowledgements(envelope, refused, now)

    def too_long(self, beginning: bytes) -> Sequence[bytes]:
        """The acknowledgements of a message that is larger than the settings allow, of which only the beginning was read."""
        refused = MessageRefused(answer="AR", code=207, where="", why=f"it is larger than {self._settings.max_megabytes} MB")
        return acknowledgements(read_envelope(beginning) or NO_ENVELOPE, refused, datetime.now(UTC))

    def _judged(self, content: bytes, envelope: Envelope | None) -> _Judgement:
        try:
            return self._understood(content, _checked(envelope, self._settings.processing_id))
        except MessageRefused as refused:
            return _Judgement(MessageState.REFUSED, refused)

    def _understood(self, content: bytes, envelope: Envelope) -> _Judgement:
        if read := EVENTS.get(envelope.type):
            return _Judgement(MessageState.APPLIED, changes=read(parse(content, envelope)))
        if check := self._waiting.get(envelope.type):
            check(parse(content, envelope))
            return _Judgement(MessageState.WAITING)
        answer = self._settings.unknown_types
        if answer == "AA":
            return _Judgement(MessageState.UNKNOWN)
        known = {each.split("^")[0] for each in (*EVENTS, *self._waiting)}
        code, place = (201, "MSH^1^9^1^2") if envelope.component(9, 1) in known else (200, "MSH^1^9^1^1")
        why = "this node does nothing with messages of this type"
        return _Judgement(MessageState.UNKNOWN, MessageRefused(answer=answer, code=code, where=place, why=why))


def _checked(envelope: Envelope | None, processing_id: str) -> Envelope:
    """The envelope, where the message is one for us; raises `MessageRefused`."""
    if envelope is None:
        raise MessageRefused(answer="AR", code=100, where="MSH", why="it does not begin with MSH")
    if envelope.is_batch:
        raise MessageRefused(answer="AR", code=200, where=envelope.segment, why="batches are not taken: send each message by itself")
    for number, what in ((9, "its type"), (10, "its control ID")):
        if not envelope.field(number):
            raise MessageRefused(answer="AE", code=101, where=f"MSH^1^{number}", why=f"MSH-{number} does not say {what}")
    if envelope.component(11, 1) not in ("", processing_id):
        why = f"MSH-11 is not {processing_id}: it is meant for another system than this"
        raise MessageRefused(answer="AR", code=202, where="MSH^1^11", why=why)
    if not envelope.version.startswith("2") and envelope.version:
        raise MessageRefused(answer="AR", code=203, where="MSH^1^12", why="this is no version 2 of HL7")
    return envelope


def _reason(judgement: _Judgement) -> str:
    return str(judgement.refused) if judgement.refused else ""


def _not_entered() -> MessageRefused:
    return MessageRefused(answer="AR", code=207, where="", why="it could not be kept just now: send it again later")
