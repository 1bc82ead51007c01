"""Who may open an association, and how many may be open at once (PS3.8 9.3.4, Table 9-21)."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from dosremc_node.addresses import ip, is_at
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
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2, "as many associations are open as the settings allow")


class Admission:
    """Decides on each association request. May be asked by several threads at once."""

    def __init__(self, settings: ReceptionSettings, ae_title: str) -> None:
        self._settings = settings
        self._ae_title = ae_title
        self._lock = threading.Lock()
        self._open: list[threading.Thread] = []

    def admit(self, called: str, calling: str, address: str, association: threading.Thread) -> Rejection | None:
        """None where the association may go on; it then counts as open for as long as its thread lives."""
        if self._settings.require_called_ae_title and called.strip() != self._ae_title:
            return CALLED_AE_TITLE_NOT_RECOGNISED
        if not is_peer(self._settings.peers, calling, address):
            return CALLING_AE_TITLE_NOT_RECOGNISED
        return None if self._take_place(association) else LOCAL_LIMIT_EXCEEDED

    def _take_place(self, association: threading.Thread) -> bool:
        with self._lock:
            self._open = [thread for thread in self._open if thread.is_alive()]
            if len(self._open) >= self._settings.max_associations:
                return False
            self._open.append(association)
            return True


def is_peer(peers: Iterable[Peer], calling: str, address: str) -> bool:
    """Whether an AE title may call from an address. Without any peers, every AE title may, from this machine only."""
    peers = tuple(peers)
    if not peers:
        return ip(address).is_loopback
    named = [peer for peer in peers if peer.ae_title == calling.strip()]
    return any(not peer.host or is_at(peer.host, ip(address)) for peer in named)
