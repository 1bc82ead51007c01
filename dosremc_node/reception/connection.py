"""The TCP connection beneath an association: how long it may be silent, how it is read, how it is closed."""

from __future__ import annotations

import errno
import socket
from functools import partial

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.events import Event

# Our P-DATA-TF PDUs are limited to 128 KiB by negotiation, an A-ASSOCIATE-RQ with every possible context is smaller.
_LONGEST_PDU = 1 << 20
_QUICK_ACKNOWLEDGEMENT = getattr(socket, "TCP_QUICKACK", None)  # Linux


def prepare(association: Association, idle_seconds: float) -> None:
    """See that a silent or vanished peer cannot hold an accepted connection for ever, and that it is read in large pieces.

    pynetdicom reads 4096 bytes at a time, and however many a PDU says that it has.
    """
    connection = _socket_of(association)
    if connection is None or association.dul.socket is None:
        return
    connection.settimeout(idle_seconds)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    association.dul.socket.recv = partial(_receive, connection)  # type: ignore[method-assign]


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


def _receive(connection: socket.socket, nr_bytes: int) -> bytearray:
    """Exactly ``nr_bytes`` bytes, fewer where the peer closed; raises `OSError` where it is silent or asks too much."""
    if nr_bytes > _LONGEST_PDU:
        raise OSError(errno.EMSGSIZE, "a PDU is longer than any that we agreed to")
    content = bytearray(nr_bytes)
    view = memoryview(content)
    received = 0
    while received < nr_bytes and (count := connection.recv_into(view[received:])):
        received += count
        _acknowledge(connection)
    view.release()
    del content[received:]
    return content


def _acknowledge(connection: socket.socket) -> None:
    # Many senders hold their next bytes back until the last ones are acknowledged, which the kernel would delay by 40 ms.
    if _QUICK_ACKNOWLEDGEMENT:
        connection.setsockopt(socket.IPPROTO_TCP, _QUICK_ACKNOWLEDGEMENT, 1)


def _socket_of(association: Association) -> socket.socket | None:
    return association.dul.socket.socket if association.dul.socket else None
