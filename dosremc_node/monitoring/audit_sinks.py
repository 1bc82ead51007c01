"""Where the audit trail goes: a file, a syslog server over TLS. Each takes a batch, and returns once it has arrived."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol

from dosremc_node.ledger.audit import Anchor, AuditEntry
from dosremc_node.monitoring.audit_messages import Source, anchor_line, audit_message, syslog_message
from dosremc_node.settings import AuditSettings, AuditSyslog, TlsVersion

_SECONDS_TO_ANSWER = 10.0
_ANCHOR = re.compile(r'\{"audit_anchor": \d+, "sha256": "[0-9a-f]{64}", "at": "[^"]+"\}')


class Sink(Protocol):
    """A place outside; ``name`` is its own in the ledger, which remembers what has arrived there."""

    name: str

    def put(self, entries: Sequence[AuditEntry], source: Source) -> None:
        """Hand a batch on; raises `OSError` where it has not arrived."""
        ...


class FileSink:
    """One message a line. The file is opened for each batch, so that it may be rotated at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"file {socket.gethostname()}:{path}"

    def put(self, entries: Sequence[AuditEntry], source: Source) -> None:
        _append(self._path, [audit_message(each, source) for each in entries])


class AnchorSink:
    """Number and hash of each batch's last row, one a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"anchors {socket.gethostname()}:{path}"

    def put(self, entries: Sequence[AuditEntry], source: Source) -> None:  # noqa: ARG002 - as every sink
        _append(self._path, [anchor_line(entries[-1])])


def _append(path: Path, lines: Sequence[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    with open(descriptor, "ab") as file:  # noqa: PTH123 - a descriptor, for its mode
        file.write(b"".join(line + b"\n" for line in lines))
        file.flush()
        os.fsync(descriptor)


class SyslogSink:
    """Syslog over TLS (RFC 5425), with an anchor at the end of each batch.

    Syslog knows no acknowledgement. So each batch has a connection of its own, which is closed in both directions: a server
    that closes its side in answer to ours has read everything before it.
    """

    def __init__(self, settings: AuditSyslog) -> None:
        self._settings = settings
        self.name = f"syslog {settings.host}:{settings.port}"

    def put(self, entries: Sequence[AuditEntry], source: Source) -> None:
        messages = [syslog_message(each, source) for each in entries] + [syslog_message(entries[-1], source, anchor=True)]
        address = (self._settings.host, self._settings.port)
        with closing(socket.create_connection(address, timeout=_SECONDS_TO_ANSWER)) as plain:
            connection = _context(self._settings).wrap_socket(plain, server_hostname=self._settings.host)
            with closing(connection):
                connection.sendall(b"".join(b"%d %s" % (len(each), each) for each in messages))
                # A server that ends the connection without TLS's own goodbye has read it all the same; one that resets it has not.
                with suppress(ssl.SSLEOFError):
                    connection.unwrap()


def _context(settings: AuditSyslog) -> ssl.SSLContext:
    tls = settings.tls
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.check_hostname = tls.check_host_name
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.minimum_version is TlsVersion.TLS_1_3 else ssl.TLSVersion.TLSv1_2
    if tls.certificate_file:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    return context


def sinks(settings: AuditSettings) -> Sequence[Sink]:
    """Every place that the settings name."""
    chosen: list[Sink] = []
    if settings.file:
        chosen.append(FileSink(settings.file))
    if settings.anchors_file:
        chosen.append(AnchorSink(settings.anchors_file))
    if settings.syslog:
        chosen.append(SyslogSink(settings.syslog))
    return chosen


def read_anchors(path: Path) -> Sequence[Anchor]:
    """The anchors of a file: an anchors file, or whatever a syslog server has written. Raises `OSError`."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        found = [json.loads(match) for line in lines for match in _ANCHOR.findall(line)]
    return [Anchor(each["audit_anchor"], each["sha256"], datetime.fromisoformat(each["at"])) for each in found]
