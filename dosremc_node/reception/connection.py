"""The TCP connection beneath an association: how long it may be silent, how it is read, how it is closed."""

from __future__ import annotations

import socket

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from dosremc_node.libraries import hasten


def prepare(association: Association, idle_seconds: float) -> None:
    """See that a silent or vanished peer cannot hold an accepted connection for ever, and that nothing is delayed on it."""
    connection = _socket_of(association)
    if connection is None:
        return
    connection.settimeout(idle_seconds)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    hasten(association)


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
