"""An HTTP listener for machines: ``/metrics`` for Prometheus, ``/health`` (the process lives), ``/ready`` (it can take work).

The last two are also known as ``/healthz`` and ``/readyz``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from dosremc_node.failures import describe

log = structlog.get_logger(__name__)

Readiness = Callable[[], str | None]
"""Why the node cannot work just now, in words; None where it can."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the library's signature
        """Log what went wrong as everything is logged here; the library would print the exception's text."""
        error = sys.exception()
        if error is not None:
            log.warning("probe_failed", reason=describe(error))


class ProbeServer:
    """Answers probes in threads of its own. A client that is slow or silent holds up nobody else."""

    def __init__(self, host: str, port: int, collector: Collector, why_not_ready: Readiness) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        self._server = _Server((host, port), _handler(registry, why_not_ready))
        self._thread = Thread(target=self._server.serve_forever, name="probes", daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    def start(self) -> None:
        self._thread.start()
        log.info("probes_answered", port=self.port)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(registry: CollectorRegistry, why_not_ready: Readiness) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4)
            elif self.path in ("/health", "/healthz"):
                self._answer(200, b"ok\n")
            elif self.path in ("/ready", "/readyz"):
                reason = why_not_ready()
                self._answer(503 if reason else 200, f"{reason or 'ready'}\n".encode())
            else:
                self._answer(404, b"try /metrics, /health or /ready\n")

        def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """A probe each second is no event."""

    return Handler
