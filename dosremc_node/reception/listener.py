"""Connections: who accepts them, where they really come from, and TLS, all before the first byte of DICOM.

What takes time (a PROXY header, a TLS handshake) is done in the connection's own thread and by a deadline: who connects and says nothing
keeps nobody waiting.
"""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from socketserver import BaseServer
from typing import cast

import structlog
from pynetdicom import AE
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.presentation import build_context
from pynetdicom.transport import ThreadedAssociationServer

from dosremc_node.addresses import ip, is_at
from dosremc_node.certificates import Certificates
from dosremc_node.errors import NoProxyHeader
from dosremc_node.failures import places
from dosremc_node.reception.contexts import VERIFICATION
from dosremc_node.reception.door import Door
from dosremc_node.reception.proxy_protocol import true_address
from dosremc_node.settings import ReceptionSettings

_Request = socket.socket | tuple[bytes, socket.socket]
_Address = tuple[str, int]

log = structlog.get_logger()

_NOT_YET_ASKED = 256
"""How many connections may be open, beside as many as there may be associations, without having asked for one."""

_COURTESY_SECONDS = 0.005
_SECONDS_TO_READ_AN_ABORT = 1.0
_PAUSE_SECONDS = 0.2


class Listener(ThreadedAssociationServer):
    """Accepts the connections that come to a door, beside other processes that do the same."""

    daemon_threads = True  # those that are still being greeted when the process ends

    def __init__(
        self, door: Door, entity: AE, settings: ReceptionSettings, certificates: Certificates | None, handlers: list[EventHandlerType]
    ) -> None:
        self._door, self._settings, self._certificates = door, settings, certificates
        self._lock = threading.Lock()
        self._open = 0
        # Until an association is admitted it is offered nothing but verification.
        contexts = [build_context(VERIFICATION)]
        super().__init__(entity, door.listening.getsockname(), entity.ae_title, contexts, evt_handlers=handlers)

    def server_bind(self) -> None:
        """Use the socket of the door, which others use too."""
        cast("socket.socket", self.socket).close()
        self.socket = self._door.listening

    def server_activate(self) -> None:
        """Nothing: it listens already."""

    def server_close(self) -> None:
        """Leave the door. The socket is not shut down, because that would end it for the others too."""
        self._door.listening.close()

    def shutdown(self) -> None:
        """Stop accepting connections; those that are open go on."""
        BaseServer.shutdown(self)
        self.server_close()

    def service_actions(self) -> None:
        """Nothing: what an association holds is released when it ends, not by a garbage collection of the whole process."""

    def get_request(self) -> tuple[socket.socket, _Address]:
        """The next connection; raises `OSError`: `BlockingIOError` where another process has taken it."""
        if self._door.places.is_someone_less_busy(self._open):
            time.sleep(_COURTESY_SECONDS)
        try:
            return self._door.listening.accept()
        except BlockingIOError:
            raise
        except OSError as error:  # above all, no descriptor is left: the connection stays at the door
            log.error("cannot_accept", reason=error.strerror)  # noqa: TRY400 - a place in our source says nothing here
            time.sleep(_PAUSE_SECONDS)
            raise

    def verify_request(self, _request: object, _address: object) -> bool:
        """Whether there is room for one more connection; if not, it is closed at once."""
        return self._open < self._settings.max_associations + _NOT_YET_ASKED

    def process_request(self, request: _Request, client_address: _Address | str) -> None:
        """Have a thread of its own greet the connection."""
        self._count(1)
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # there is no thread to be had
            self._count(-1)
            raise

    def handle_error(self, _request: object, _address: object) -> None:
        """A connection could not be taken in hand; it is closed."""
        error = sys.exc_info()[1]
        log.error("connection_failed", error=type(error).__name__, where=places(error.__traceback__) if error else "")

    def finish_request(self, request: _Request, client_address: _Address | str) -> None:
        """Greet the connection, and begin to speak DICOM on it."""
        connection, address = cast("socket.socket", request), cast("_Address", client_address)
        try:
            super().finish_request(*self._greeted(connection, address))
        except (OSError, RuntimeError, NoProxyHeader) as error:  # RuntimeError: there is no thread to be had
            reason = error.reason if isinstance(error, ssl.SSLError) else str(error)
            log.warning("connection_refused", address=address[0], error=type(error).__name__, reason=reason)
            connection.close()
            self._count(-1)

    def connection_ended(self) -> None:
        """The thread of a connection's association has ended."""
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._open += change
            self._door.places.tell_load(self._open)

    def _greeted(self, connection: socket.socket, address: _Address) -> tuple[socket.socket, _Address]:
        deadline = time.monotonic() + self._settings.artim_timeout_seconds
        if any(is_at(balancer, ip(address[0])) for balancer in self._settings.balancers):
            address = _behind_balancer(connection, deadline) or address
        if self._certificates:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            connection = self._certificates.context().wrap_socket(connection, server_side=True)
        return connection, address


def _behind_balancer(connection: socket.socket, deadline: float) -> tuple[str, int] | None:
    try:
        return true_address(connection, deadline)
    except NoProxyHeader:
        _abort(connection, deadline)
        raise


def _abort(connection: socket.socket, deadline: float) -> None:
    """Send A-ABORT by the service provider, unrecognised PDU (PS3.8 9.3.8), and wait until it is read."""
    abort = A_ABORT_RQ()
    abort.source, abort.reason_diagnostic = 2, 1
    with suppress(OSError):
        connection.settimeout(_SECONDS_TO_READ_AN_ABORT)
        connection.sendall(abort.encode())
        connection.shutdown(socket.SHUT_WR)
        # Were it closed with something unread, the kernel would reset it, and the abort might be lost.
        while time.monotonic() < deadline and connection.recv(1 << 16):
            pass
