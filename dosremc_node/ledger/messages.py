"""Messages of other systems: kept as they came, with what follows from them, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from dosremc_node.ledger import audit
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


# --- Worked on later --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WaitingMessage:
    """A message that was accepted and not yet worked on."""

    message_id: int
    sha256: str
    content: bytes = field(repr=False)


def waiting_messages(ledger: Ledger, types: Sequence[str], at_most: int) -> Sequence[WaitingMessage]:
    """Those of these types, in the order in which they were accepted: a later one may correct an earlier one."""
    query = select(MessageRow).where(MessageRow.state == MessageState.WAITING, MessageRow.type.in_(types))
    with ledger.reading() as session:
        rows = session.scalars(query.order_by(MessageRow.last_received_at, MessageRow.id).limit(at_most))
        return [WaitingMessage(row.id, row.sha256, row.content) for row in rows]


def settle_message(ledger: Ledger, message_id: int, state: MessageState, reason: str) -> None:
    """Say what became of a message that waited; one that somebody else has settled stays as it is."""
    with ledger.transaction() as session:
        row = session.get(MessageRow, message_id, with_for_update=True)
        if row is None or row.state != MessageState.WAITING:
            return
        row.state, row.reason = state.value, reason
        audit.append(session, audit.NODE, "work on message", f"message {message_id}", {"state": state.value, "reason": reason})


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A message that was not worked on, and why: never what stands in it."""

    message_id: int
    type: str
    sender: str
    reason: str
    times: int
    last_received_at: datetime


def refused_messages(ledger: Ledger) -> Sequence[RefusedMessage]:
    """Those that were refused and did not come again in a form that was accepted, the latest first."""
    query = select(MessageRow).where(MessageRow.state == MessageState.REFUSED).order_by(MessageRow.last_received_at.desc())
    with ledger.reading() as session:
        return [RefusedMessage(row.id, row.type, row.sender, row.reason, row.times, row.last_received_at) for row in session.scalars(query)]
