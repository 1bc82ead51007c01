"""A listener's TLS: certificate, key and authority as they are on the disk now, so that a new certificate needs no restart."""

from __future__ import annotations

import ssl
import threading
from contextlib import suppress
from pathlib import Path

import structlog

from dosremc_node.errors import TlsUnusable
from dosremc_node.settings import ListenerTls
from dosremc_node.tls import server_context

log = structlog.get_logger()

_Stamp = tuple[tuple[int, int, int] | None, ...]


class Certificates:
    """Gives a listener the TLS context for each new connection. May be asked by several threads at once."""

    def __init__(self, tls: ListenerTls) -> None:
        """Read the files; raises `TlsUnusable`."""
        self._tls = tls
        self._lock = threading.Lock()
        self._stamp = self._seen()
        self._context = self._read()

    def context(self) -> ssl.SSLContext:
        """The context of the files as they are; the last one that was good where they do not fit each other, as between two writes."""
        with self._lock:
            stamp = self._seen()
            if stamp != self._stamp:
                self._stamp = stamp
                self._renew()
            return self._context

    def _renew(self) -> None:
        try:
            self._context = self._read()
            log.info("certificates_renewed")
        except TlsUnusable as error:
            log.error("certificates_not_renewed", reason=str(error))  # noqa: TRY400 - a place in our source says nothing here

    def _read(self) -> ssl.SSLContext:
        tls = self._tls
        try:
            return server_context(tls.certificate_file, tls.key_file, tls.ca_file, minimum_version=tls.minimum_version)
        except OSError as error:
            raise TlsUnusable(peer="those who call us", why=error.strerror or type(error).__name__) from None

    def _seen(self) -> _Stamp:
        files = (self._tls.certificate_file, self._tls.key_file, self._tls.ca_file)
        return tuple(_stamp(path) for path in files if path)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    with suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None
