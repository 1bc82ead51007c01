"""An association with a destination: opened, and where it is not, why not in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dosremc_node.errors import NoSopClassAccepted, PeerRefused, PeerUnreachable
from dosremc_node.libraries import hasten
from dosremc_node.peers import connection_problem, tls_context, unreachable
from dosremc_node.settings import Destination, TransferSyntax

TRANSFER_SYNTAXES: Final[Mapping[TransferSyntax, Sequence[UID]]] = {
    TransferSyntax.EXPLICIT: (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
    TransferSyntax.IMPLICIT: (ImplicitVRLittleEndian,),
}
"""What is proposed of each SOP class. The default transfer syntax is never left out (PS3.5 10.1)."""
REJECTED_TRANSIENT: Final = 2
LARGEST_PDU: Final = 131072

_NO_ANSWER: Final = "it accepts the connection, but ended it or gave no answer to the association request"


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
        raise unreachable(peer, connection_problem(peer) or _NO_ANSWER) from None
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


def _why_not(peer: Destination, association: Association) -> PeerRefused | PeerUnreachable:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return _rejection(peer, answer)
    if answer is not None and answer.result == 0:
        return NoSopClassAccepted(peer=peer.name)
    return unreachable(peer, connection_problem(peer) or _NO_ANSWER)


def _rejection(peer: Destination, answer: A_ASSOCIATE) -> PeerRefused | PeerUnreachable:
    why = f"it rejected the association: {answer.reason_str} ({answer.result_str}, {answer.source_str})"
    if answer.result == REJECTED_TRANSIENT:
        return unreachable(peer, why)
    return PeerRefused(peer=peer.name, why=why)
