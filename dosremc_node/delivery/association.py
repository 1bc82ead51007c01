"""An association with a destination: opened, and where it is not, why not in plain words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dosremc_node.errors import NoSopClassAccepted, PeerRefused, PeerUnreachable, TlsUnusable
from dosremc_node.libraries import hasten
from dosremc_node.settings import Destination, TransferSyntax
from dosremc_node.tls import client_context

TRANSFER_SYNTAXES: Final[Mapping[TransferSyntax, Sequence[UID]]] = {
    TransferSyntax.EXPLICIT: (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
    TransferSyntax.IMPLICIT: (ImplicitVRLittleEndian,),
}
"""What is proposed of each SOP class. The default transfer syntax is never left out (PS3.5 10.1)."""
REJECTED_TRANSIENT: Final = 2
LARGEST_PDU: Final = 131072


@contextmanager
def associate(
    peer: Destination, calling_ae_title: str, sop_classes: Sequence[str], handlers: Sequence[EventHandlerType] = ()
) -> Iterator[Association]:
    """An established association that proposes ``sop_classes``; released at the end.

    Raises `PeerUnreachable` where trying later may help (no connection, no answer, abort, transient rejection), and
    `PeerRefused` where a setting has to be changed on one side (permanent rejection; `NoSopClassAccepted`).
    """
    context = tls_context(peer)
    entity = AE(ae_title=calling_ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = peer.timeout_seconds
    for sop_class in dict.fromkeys(sop_classes):
        entity.add_requested_context(sop_class, list(TRANSFER_SYNTAXES[peer.transfer_syntax]))
    try:
        association = entity.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            max_pdu=LARGEST_PDU,
            evt_handlers=[(evt.EVT_CONN_OPEN, _hasten), *handlers],
            tls_args=(context, peer.host) if context else None,
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


def tls_context(peer: Destination) -> ssl.SSLContext | None:
    """How TLS is spoken to a peer, None where it is not; raises `TlsUnusable`. Made anew each time: certificates are renewed on the disk."""
    tls = peer.tls
    if tls is None:
        return None
    try:
        return client_context(
            tls.ca_file,
            tls.certificate_file,
            tls.key_file,
            minimum_version=tls.minimum_version,
            check_host_name=tls.check_host_name,
        )
    except OSError as error:
        raise TlsUnusable(peer=peer.name, why=error.strerror or type(error).__name__) from None


def accepted(association: Association, sop_class: str) -> bool:
    """Whether the peer takes this SOP class."""
    return any(context.abstract_syntax == UID(sop_class) for context in association.accepted_contexts)


def _hasten(event: evt.Event) -> None:
    hasten(event.assoc)


def _why_not(peer: Destination, association: Association) -> PeerRefused | PeerUnreachable:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return _rejection(peer, answer)
    if answer is not None and answer.result == 0:
        return NoSopClassAccepted(peer=peer.name)
    return _unreachable(peer, _connection_problem(peer))


def _rejection(peer: Destination, answer: A_ASSOCIATE) -> PeerRefused | PeerUnreachable:
    why = f"it rejected the association: {answer.reason_str} ({answer.result_str}, {answer.source_str})"
    if answer.result == REJECTED_TRANSIENT:
        return _unreachable(peer, why)
    return PeerRefused(peer=peer.name, why=why)


def _connection_problem(peer: Destination) -> str:
    """Why no association came about, found by trying the connection once more: the library only logs it."""
    try:
        with socket.create_connection((peer.host, peer.port), timeout=peer.timeout_seconds) as connection:
            if context := tls_context(peer):
                context.wrap_socket(connection, server_hostname=peer.host).close()
            return "it accepts the connection, but ended it or gave no answer to the association request"
    except ssl.SSLCertVerificationError as error:
        return f"its TLS certificate is not trusted ({error.verify_message})"
    except ssl.SSLError as error:
        return f"TLS could not be agreed on ({error.reason})"
    except socket.gaierror:
        return "its host name is unknown"
    except TimeoutError:
        return f"no connection within {peer.timeout_seconds:g} s"
    except OSError as error:
        return error.strerror or type(error).__name__


def _unreachable(peer: Destination, why: str) -> PeerUnreachable:
    return PeerUnreachable(peer=peer.name, host=peer.host, port=peer.port, ae_title=peer.ae_title, why=why)
