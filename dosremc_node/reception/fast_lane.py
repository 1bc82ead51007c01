"""The fragments of an object's data set, straight from the connection into its file.

On its way through pynetdicom each P-DATA-TF PDU is copied five times and passed through three queues, which takes longer than to receive it,
digest it and write it. Here those that need no thought go another way: the plain middle of a data set whose beginning came the usual way.
Everything else does too, its end above all.
"""

from __future__ import annotations

import socket
import ssl
import struct

from pynetdicom.association import Association

from dosremc_node.reception.spooling import SpoolingProvider

_P_DATA_TF = 4
_ESTABLISHED = "Sta6"  # PS3.8 9.2.2: ready for data transfer
_MIDDLE_OF_DATA_SET = 0  # PS3.8 Annex E.2: no command, not the last fragment
_HEADER = struct.Struct(">BxIIBB")
"""PDU type and length, then length, context and message control header of its first presentation data value (PS3.8 9.3.5)."""

_AT_ONCE = 32
"""So many PDUs at most, until the association's timers are looked after again."""


def read_fragments(association: Association) -> bool:
    """Take in what has come, as far as it is the middle of a data set; whether it was anything. Raises `OSError`, `NotDicom`."""
    for number in range(_AT_ONCE):
        if (number and not _is_more_there(association)) or not _read_one(association):
            return number > 0
    return True


def _read_one(association: Association) -> bool:
    provider, reader = association.dimse, association.dul.socket
    # What TLS has not decrypted yet cannot be looked at without being taken.
    if reader is None or reader.socket is None or isinstance(reader.socket, ssl.SSLSocket) or not isinstance(provider, SpoolingProvider):
        return False
    if not provider.is_in_a_data_set or association.dul.state_machine.current_state != _ESTABLISHED:
        return False
    length = _length_of_fragment(reader.socket.recv(_HEADER.size, socket.MSG_PEEK), provider.context_id)
    if not length:
        return False
    content = reader.recv(length)
    if len(content) < length:
        association.dul.event_queue.put("Evt17")  # the peer has gone
    else:
        provider.add_fragment(memoryview(content)[_HEADER.size :])
    return True


def _length_of_fragment(beginning: bytes, context_id: int | None) -> int:
    """How long the PDU is that begins so; 0 where it is not a single fragment from the middle of the data set of that context."""
    if len(beginning) < _HEADER.size:
        return 0
    kind, length, value_length, context, control = _HEADER.unpack(beginning)
    is_plain = kind == _P_DATA_TF and value_length == length - 4 and value_length > 2 and context == context_id
    return length + 6 if is_plain and control == _MIDDLE_OF_DATA_SET else 0


def _is_more_there(association: Association) -> bool:
    dul = association.dul
    return bool(dul.event_queue.empty() and dul.to_provider_queue.empty() and dul.socket and dul.socket.ready)
