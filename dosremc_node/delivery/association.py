"""An association with a destination: opened, and where it is not, why not in plain words."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dosremc_node.errors import PeerRefused, PeerUnreachable
from dosremc_node.libraries import hasten

TRANSFER_SYNTAXES: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
REJECTED_TRANSIENT: Final = 2
LARGEST_PDU: Final = 131072


class Peer(Protocol):
    """Where to: a `settings.Destination` is one."""

    @property
    def name(self) -> str: ...
    @property
    def ae_title(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def timeout_seconds(self) -> float: ...


@contextmanager
def associate(peer: Peer, calling_ae_title: str, sop_classes: Sequence[str]) -> Iterator[Association]:
    """An established association that proposes ``sop_classes``; released at the end.

    Raises `PeerUnreachable` where trying later may help (no connection, no answer, abort, transient rejection), and
    `PeerRefused` where a setting has to be changed on one side (permanent rejection, none of the SOP classes accepted).
    """
    entity = AE(ae_title=calling_ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = peer.timeout_seconds
    for sop_class in dict.fromkeys(sop_classes):
        entity.add_requested_context(sop_class, list(TRANSFER_SYNTAXES))
    try:
        association = entity.associate(
            peer.host, peer.port, ae_title=peer.ae_title, max_pdu=LARGEST_PDU, evt_handlers=[(evt.EVT_CONN_OPEN, _hasten)]
        )
    except OSError:
        # The host name does not resolve; a connection that fails is no exception to the library.
        raise _unreachable(peer, _connection_problem(peer)) from None
    if not association.is_established:
        raise _why_not(peer, association)
    try:
        yield association
    finally:
        # A peer that has gone away already is left alone; a release would wait for it.
        if association.is_established:
            association.release()


def accepted(association: Association, sop_class: str) -> bool:
    """Whether the peer takes this SOP class."""
    return any(context.abstract_syntax == UID(sop_class) for context in association.accepted_contexts)


def _hasten(event: evt.Event) -> None:
    hasten(event.assoc)


def _why_not(peer: Peer, association: Association) -> PeerRefused | PeerUnreachable:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return _rejection(peer, answer)
    if answer is not None and answer.result == 0:
        return PeerRefused(peer=peer.name, why="it accepts none of the proposed SOP classes")
    return _unreachable(peer, _connection_problem(peer))


def _rejection(peer: Peer, answer: A_ASSOCIATE) -> PeerRefused | PeerUnreachable:
    why = f"it rejected the association: {answer.reason_str} ({answer.result_str}, {answer.source_str})"
    if answer.result == REJECTED_TRANSIENT:
        return _unreachable(peer, why)
    return PeerRefused(peer=peer.name, why=why)


def _connection_problem(peer: Peer) -> str:
    """Why no association came about, found by trying the TCP connection once more: the library only logs it."""
    try:
        with socket.create_connection((peer.host, peer.port), timeout=peer.timeout_seconds):
            return "it accepts the connection, but ended it or gave no answer to the association request"
    except socket.gaierror:
        return "its host name is unknown"
    except TimeoutError:
        return f"no connection within {peer.timeout_seconds:g} s"
    except OSError as error:
        return error.strerror or type(error).__name__


def _unreachable(peer: Peer, why: str) -> PeerUnreachable:
    return PeerUnreachable(peer=peer.name, host=peer.host, port=peer.port, ae_title=peer.ae_title, why=why)
