"""Messages of other systems: kept as they came, with what follows from them, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.demographics import apply_changes
from dosremc_node.ledger.hospital_tables import MessageRow
from dosremc_node.ledger.tables import fitting
from dosremc_node.records import PatientMerge, PatientUpdate


class MessageState(StrEnum):
    """What became of a message."""

    APPLIED = "applied"
    WAITING = "waiting"
    """Accepted, for whoever works on it later."""
    UNKNOWN = "unknown"
    """Of a type that nobody here works on."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message as it came, with what its header says of it."""

    sha256: str
    content: bytes = field(repr=False)
    type: str
    control_id: str = field(repr=False)
    sender: str
    peer_address: str
    received_at: datetime


def enter_message(
    ledger: Ledger, message: IncomingMessage, state: MessageState, reason: str, changes: Sequence[PatientUpdate | PatientMerge]
) -> bool:
    """Enter a message and what it changes of patients; False where the same bytes were accepted before: then nothing is applied again.

    One that was refused is judged anew when it comes again. When this returns, the rows are committed.
    """
    try:
        return _enter(ledger, message, state, reason, changes)
    except IntegrityError:
        # Another connection entered the same bytes a moment ago: their row is there now.
        return _enter(ledger, message, state, reason, changes)


def _enter(
    ledger: Ledger, message: IncomingMessage, state: MessageState, reason: str, changes: Sequence[PatientUpdate | PatientMerge]
) -> bool:
    with ledger.transaction() as session:
        row = session.scalar(select(MessageRow).where(MessageRow.sha256 == message.sha256).with_for_update())
        if row is None:
            row = _row(message)
            session.add(row)
        else:
            row.times += 1
            row.last_received_at = message.received_at
            if row.state in (MessageState.APPLIED, MessageState.WAITING):
                return False
        row.state, row.reason = state.value, reason
        session.flush()
        apply_changes(session, row.id, row.sender, changes, message.received_at)
        return True


def _row(message: IncomingMessage) -> MessageRow:
    return MessageRow(
        sha256=message.sha256,
        content=message.content,
        type=fitting(MessageRow.type, _printable(message.type)),
        control_id=fitting(MessageRow.control_id, _printable(message.control_id)),
        sender=fitting(MessageRow.sender, _printable(message.sender)),
        peer_address=message.peer_address,
        times=1,
        received_at=message.received_at,
        last_received_at=message.received_at,
    )


def _printable(text: str) -> str:
    """Without control characters: PostgreSQL refuses NUL, and nobody wants the others on the screen."""
    return "".join(character for character in text if character.isprintable())


def message_counts(ledger: Ledger) -> Mapping[tuple[str, MessageState], int]:
    """How many messages there are of each type, in each state."""
    query = select(MessageRow.type, MessageRow.state, func.count()).group_by(MessageRow.type, MessageRow.state)
    with ledger.reading() as session:
        return {(kind, MessageState(state)): count for kind, state, count in session.execute(query)}
