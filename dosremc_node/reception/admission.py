"""Who may open an association, how many may be open at once, and how fast they may come (PS3.8 9.3.4, Table 9-21)."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from pynetdicom.pdu_primitives import A_ASSOCIATE

from dosremc_node.addresses import ip, is_at
from dosremc_node.reception.places import Full, Places
from dosremc_node.settings import Peer, ReceptionSettings


@dataclass(frozen=True, slots=True)
class Rejection:
    """What an A-ASSOCIATE-RJ says: result (1 permanent, 2 transient), source, reason; ``why`` is for our own log."""

    result: int
    source: int
    reason: int
    why: str


CALLING_AE_TITLE_NOT_RECOGNISED = Rejection(1, 1, 3, "the calling AE title is not among the peers, or not from this address")
CALLED_AE_TITLE_NOT_RECOGNISED = Rejection(1, 1, 7, "the called AE title is not ours")
APPLICATION_CONTEXT_NOT_SUPPORTED = Rejection(1, 1, 2, "the application context is not DICOM's")
TEMPORARY_CONGESTION = Rejection(2, 3, 1, "this peer asks for associations faster than the settings allow, or the node is stopping")
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2, "as many associations are open, in total or of this peer, as the settings allow")

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"


class Admission:
    """Decides on each association request. May be asked by several threads at once; `Places` counts over all processes."""

    def __init__(self, settings: ReceptionSettings, ae_title: str, places: Places) -> None:
        self._settings = settings
        self._ae_title = ae_title
        self._places = places
        self._taken: dict[threading.Thread, int] = {}
        self.is_closed = False

    def admit(self, request: A_ASSOCIATE, address: str, association: threading.Thread) -> Rejection | None:
        """None where the association may go on; it then counts as open until `leave`."""
        settings, calling = self._settings, request.calling_ae_title
        if request.application_context_name != _APPLICATION_CONTEXT:
            return APPLICATION_CONTEXT_NOT_SUPPORTED
        if settings.require_called_ae_title and request.called_ae_title.strip() != self._ae_title:
            return CALLED_AE_TITLE_NOT_RECOGNISED
        if not is_peer(settings.peers, calling, address):
            return CALLING_AE_TITLE_NOT_RECOGNISED
        peer, rate = _peer(calling, address), settings.associations_per_second
        if self.is_closed or (rate and self._places.is_too_fast("associations", peer, rate)):
            return TEMPORARY_CONGESTION
        try:
            self._taken[association] = self._places.take(peer, settings.max_associations, settings.max_associations_per_peer)
        except Full:
            return LOCAL_LIMIT_EXCEEDED
        return None

    def leave(self, association: threading.Thread) -> None:
        """The association has ended; harmless where it was not admitted."""
        place = self._taken.pop(association, None)
        if place is not None:
            self._places.give_back(place)

    def seconds_to_wait(self, calling: str, address: str) -> float:
        """How long the answer to an object has to wait, so that its peer sends no faster than it may."""
        rate = self._settings.objects_per_second
        return self._places.seconds_to_wait("objects", _peer(calling, address), rate) if rate else 0.0


def _peer(calling: str, address: str) -> str:
    return f"{calling.strip()}@{ip(address)}"


def is_peer(peers: Iterable[Peer], calling: str, address: str) -> bool:
    """Whether an AE title may call from an address. Without any peers, every AE title may, from this machine only."""
    peers = tuple(peers)
    if not peers:
        return ip(address).is_loopback
    named = [peer for peer in peers if peer.ae_title == calling.strip()]
    return any(not peer.host or is_at(peer.host, ip(address)) for peer in named)
