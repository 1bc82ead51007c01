"""What a sender is answered: MSH, MSA and, where something was wrong, ERR (HL7 v2.5.1, 2.9 and 2.15).

In original mode each message has one answer: AA, AE or AR. A sender that fills in MSH-15 or MSH-16 asks in enhanced mode for an accept
acknowledgement (CA, CE, CR: the message is kept, or not), an application acknowledgement (what came of it), both, or neither.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dosremc_node.errors import MessageRefused
from dosremc_node.messages.envelope import Envelope

OUR_VERSION = "2.5.1"
_ERRORS: Final = {
    100: "Segment sequence error",
    101: "Required field missing",
    102: "Data type error",
    103: "Table value not found",
    200: "Unsupported message type",
    201: "Unsupported event code",
    202: "Unsupported processing id",
    203: "Unsupported version id",
    204: "Unknown key identifier",
    207: "Application internal error",
}
"""HL7 table 0357."""


def acknowledgements(envelope: Envelope, refused: MessageRefused | None, now: datetime, *, code: str = "AA") -> Sequence[bytes]:
    """The answers to a message, in the order in which they are sent; ``code`` is that of a message that is not refused."""
    code = str(refused.facts["answer"]) if refused else code
    accept, application = envelope.field(15), envelope.field(16)
    if envelope.is_batch or not (accept or application):
        return [_answer(envelope, code, refused, now)]
    # Whether a message makes sense is seen before it is kept, so that both answers can say it.
    codes = [f"C{code[1]}"] if _is_wanted(accept, code) else []
    codes += [code] if _is_wanted(application, code) else []
    return [_answer(envelope, each, refused, now) for each in codes]


def _is_wanted(condition: str, code: str) -> bool:
    """HL7 table 0155: always, never, on error or reject, on success."""
    return {"AL": True, "ER": code != "AA", "SU": code == "AA"}.get(condition, False)


def _answer(envelope: Envelope, code: str, refused: MessageRefused | None, now: datetime) -> bytes:
    segments = [
        _header(envelope, now),
        ["MSA", code, envelope.control_id, *([] if refused is None or not _is_old(envelope) else [_text(refused)])],
    ]
    if refused:
        segments.append(_error(envelope, refused))
    lines = (envelope.separator.join(fields).rstrip(envelope.separator) for fields in segments)
    return b"".join(f"{line}\r".encode("iso8859_1") for line in lines)


def _header(envelope: Envelope, now: datetime) -> list[str]:
    event = envelope.component(9, 2) if not envelope.is_batch else ""
    kind = envelope.component_separator.join(filter(None, ("ACK", event, "ACK" if event and not _is_old(envelope) else "")))
    # What was sent to us comes from us, and the other way round.
    parties = [envelope.field(number) for number in (5, 6, 3, 4)]
    stamp = now.strftime("%Y%m%d%H%M%S%z")
    processing_id, version = ("P", OUR_VERSION) if envelope.is_batch else (envelope.field(11) or "P", envelope.field(12) or OUR_VERSION)
    until_version = ["MSH", envelope.encoding_characters, *parties, stamp, "", kind, secrets.token_hex(10), processing_id, version]
    return [*until_version, *[""] * 5, "" if envelope.is_batch else envelope.field(18)]


def _error(envelope: Envelope, refused: MessageRefused) -> list[str]:
    code, where = int(str(refused.facts["code"])), str(refused.facts["where"]).replace("^", envelope.component_separator)
    if _is_old(envelope):
        place = [*where.split(envelope.component_separator), "", "", ""][:3]
        sub = envelope.encoding_characters[3:4] or "&"
        return ["ERR", envelope.component_separator.join([*place, sub.join((str(code), _ERRORS[code], "HL70357"))])]
    coded = envelope.component_separator.join((str(code), _ERRORS[code], "HL70357"))
    return ["ERR", "", where, coded, "E", "", "", _text(refused)]


def _text(refused: MessageRefused) -> str:
    """What was wrong, in words that hold no separator."""
    return str(refused.facts["why"]).translate(dict.fromkeys(map(ord, "|^~\\&\r\n"), " "))


def _is_old(envelope: Envelope) -> bool:
    """Before version 2.5 ERR had one field, MSA-3 the text, and an acknowledgement no structure."""
    return envelope.version in ("2.1", "2.2", "2.3", "2.3.1", "2.4")
