"""The MLLP listener: each connection has a thread of its own, so that a silent or slow sender holds up nobody else."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Sequence
from typing import cast

import structlog

from dosremc_node.addresses import is_among
from dosremc_node.certificates import Certificates
from dosremc_node.errors import MessageTooLong
from dosremc_node.failures import describe
from dosremc_node.messages.answering import Answering
from dosremc_node.messages.framing import Blocks, framed
from dosremc_node.settings import MessageSettings

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.05
_HANDSHAKE_SECONDS = 10.0
_MEGABYTE = 1 << 20


class MessageListener:
    """Listens where the settings say."""

    def __init__(self, settings: MessageSettings, answering: Answering) -> None:
        self._settings = settings
        self._answering = answering
        self._server: _Server | None = None
        self._accepting: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on; what the settings say until it is started."""
        return int(self._server.server_address[1]) if self._server else self._settings.port

    def start(self) -> None:
        """Listen; raises `OSError` where the address is taken, or `TlsUnusable`."""
        certificates = Certificates(self._settings.tls) if self._settings.tls else None
        self._server = _Server(self._settings, self._answering, certificates)
        self._accepting = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), name="messages", daemon=True)
        self._accepting.start()
        log.info("messages_started", host=self._settings.host, port=self.port, tls=certificates is not None)

    def is_listening(self) -> bool:
        """Whether the thread that accepts connections is there."""
        return self._accepting is not None and self._accepting.is_alive()

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Take no new connections, let what is being answered be answered, and close the rest."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        server.server_close()
        server.hang_up(grace_seconds)
        log.info("messages_stopped")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, settings: MessageSettings, answering: Answering, certificates: Certificates | None) -> None:
        self.settings = settings
        self.answering = answering
        self.certificates = certificates
        self._open: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        super().__init__((settings.host, settings.port), _Connection)

    def take_place(self, connection: socket.socket) -> bool:
        """Whether one more connection may be open; the calling thread's counts until it gives its place back."""
        with self._lock:
            if len(self._open) >= self.settings.max_connections:
                return False
            self._open[threading.current_thread()] = connection
            return True

    def change_place(self, connection: socket.socket) -> None:
        """The calling thread goes on with another socket."""
        with self._lock:
            self._open[threading.current_thread()] = connection

    def give_place(self) -> None:
        with self._lock:
            del self._open[threading.current_thread()]

    def hang_up(self, grace_seconds: float) -> None:
        """Read nothing more from anybody; a thread that is answering ends with its answer."""
        with self._lock:
            threads = list(self._open)
            for connection in self._open.values():
                with contextlib.suppress(OSError):
                    # The socket's own method: that of TLS would go on in the clear.
                    socket.socket.shutdown(connection, socket.SHUT_RD)
        deadline = time.monotonic() + grace_seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the library's signature
        """Log what went wrong as everything is logged here; the library would print the exception's text."""
        error = sys.exception()
        if error is not None:
            log.error("connection_failed", reason=describe(error))


class _Connection(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        connection: socket.socket = self.request
        address = str(self.client_address[0])
        # Here and not where connections are accepted: a name that has to be looked up would hold up all others there.
        if not is_among(self.server.settings.senders, address):
            log.warning("sender_refused", address=address, why="it is not among the senders")
            return
        if not self.server.take_place(connection):
            log.warning("sender_refused", address=address, why="as many connections are open as the settings allow")
            return
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._serve(connection, address)
        except OSError as error:  # the peer has gone, was silent for too long, or speaks no TLS
            log.info("connection_ended", address=address, reason=type(error).__name__)
        finally:
            self.server.give_place()

    def _serve(self, connection: socket.socket, address: str) -> None:
        if self.server.certificates is None:
            self._answer_all(connection, address)
            return
        connection.settimeout(_HANDSHAKE_SECONDS)
        with self.server.certificates.context().wrap_socket(connection, server_side=True) as secured:
            self.server.change_place(secured)
            self._answer_all(secured, address)

    def _answer_all(self, connection: socket.socket, address: str) -> None:
        settings, answering = self.server.settings, self.server.answering
        blocks = Blocks(connection, settings.max_megabytes * _MEGABYTE, settings.idle_seconds, settings.message_seconds)
        try:
            for content in blocks:
                self._send(connection, answering.answer(content, address))
        except MessageTooLong as error:
            log.warning("message_too_long", address=address, megabytes=settings.max_megabytes)
            self._send(connection, answering.too_long(cast("bytes", error.facts["beginning"])))

    def _send(self, connection: socket.socket, answers: Sequence[bytes]) -> None:
        connection.settimeout(self.server.settings.message_seconds)
        for answer in answers:
            connection.sendall(framed(answer))
