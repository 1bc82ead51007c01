"""The TCP connection beneath an association: how long it may be silent, how it is read, how it is closed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

import structlog
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from dosremc_node.failures import places
from dosremc_node.libraries import hasten

log = structlog.get_logger()

_WAITING_FOR_THE_END = "Sta13"  # PS3.8 9.2.2: await the end of the transport connection
_PIECE = 1 << 16


def prepare(association: Association, seconds: float) -> None:
    """See that nobody who is silent for ``seconds`` holds an accepted connection, and that nothing is delayed on it."""
    connection = _socket_of(association)
    if connection is None:
        return
    connection.settimeout(seconds)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    hasten(association)
    association.dul.state_machine.do_action = partial(  # type: ignore[method-assign]
        _act, association, association.dul.state_machine.do_action
    )
    association.dul._read_pdu_data = partial(_read, association, association.dul._read_pdu_data)  # type: ignore[method-assign] # noqa: SLF001


def be_patient(association: Association, seconds: float) -> None:
    """Let an admitted peer be silent for ``seconds``, also in the middle of a PDU."""
    connection = _socket_of(association)
    if connection is not None:
        connection.settimeout(seconds)


def _read(association: Association, read: Callable[[], None]) -> None:
    """Read a PDU; one that cannot be understood ends the association by the rules, as an unknown one does (PS3.8 9.2.3, Evt19)."""
    if association.dul.state_machine.current_state == _WAITING_FOR_THE_END:
        _drop(association)
        return
    try:
        read()
    except Exception as error:  # noqa: BLE001 - whatever a broken or hostile sender makes of a PDU
        log.warning("pdu_unreadable", error=type(error).__name__, where=places(error.__traceback__))
        association.dul.event_queue.put("Evt19")


def _drop(association: Association) -> None:
    """Read what comes after our A-ABORT or A-ASSOCIATE-RJ, whatever it is: a piece of a PDU would be waited for in vain."""
    connection = _socket_of(association)
    try:
        is_there = connection is not None and connection.recv(_PIECE)
    except OSError:
        is_there = False
    if not is_there:
        association.dul.event_queue.put("Evt17")


def _act(association: Association, act: Callable[[str], None], event: str) -> None:
    """Do what the state machine does on an event; end the connection at once where a peer's nonsense is beyond it.

    pynetdicom's thread would die of it, and the connection stay until the negotiation times out.
    """
    try:
        act(event)
    except Exception as error:  # noqa: BLE001 - whatever a broken or hostile sender makes of the protocol
        log.warning("protocol_broken", error=type(error).__name__, where=places(error.__traceback__))
        association.is_aborted, association.is_established = True, False
        association._kill = association.dul._kill_thread = True  # noqa: SLF001 - as pynetdicom does where reading a PDU fails
        if association.dul.socket:
            association.dul.socket.close()


def close_at_end(event: Event) -> None:
    """Handler of EVT_CONN_OPEN: the descriptor is closed with the connection.

    pynetdicom leaves that to the garbage collector where the peer was the first to go.
    """
    connection = _socket_of(event.assoc)
    if connection is not None:
        event.assoc.bind(evt.EVT_CONN_CLOSE, _close, [connection])


def end_probe(event: Event) -> None:
    """Handler of EVT_CONN_CLOSE: end the thread of a connection on which no association was ever requested.

    It would wait for the request until the negotiation times out.
    """
    if event.assoc.requestor.primitive is None:
        event.assoc.dul.to_user_queue.put(None)


def _close(_: Event, connection: socket.socket) -> None:
    connection.close()


def _socket_of(association: Association) -> socket.socket | None:
    return association.dul.socket.socket if association.dul.socket else None
