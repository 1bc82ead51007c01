"""How the DICOM libraries behave in every process of ours: they take what is odd as it is, print no value of it (promise 13), and do not dawdle.

Real headers break the rules of value representations all the time; what matters of them is checked where it is used. And
a library's complaint quotes the value: pydicom's warnings a name or a date, pynetdicom's and highdicom's lines a UID. The
place in their source says as much to somebody who looks for a fault.
"""

from __future__ import annotations

import errno
import logging
import math
import socket
import time
import warnings
from functools import partial

import pydicom.config
import structlog
from pynetdicom import _config as pynetdicom_config
from pynetdicom.association import Association

log = structlog.get_logger(__name__)

_LIBRARIES = ("pydicom", "pynetdicom", "highdicom", "dicomweb_client", "urllib3")
# Our P-DATA-TF PDUs are limited to 128 KiB by negotiation, an A-ASSOCIATE-RQ with every possible context is smaller.
_LONGEST_PDU = 1 << 20
_QUICK_ACKNOWLEDGEMENT = getattr(socket, "TCP_QUICKACK", None)  # Linux


class _PlaceHandler(logging.Handler):
    """Logs where a library had something to say, and the kind of exception, never the message."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        error = {"error": kind.__name__} if kind else {}
        log.warning("dicom_library", where=f"{record.name}:{record.lineno}", **error)


def settle_dicom_libraries() -> None:
    """Set pydicom, pynetdicom and highdicom up for the whole process. The rooms that use them call it when they are imported."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    pynetdicom_config.LOG_HANDLER_LEVEL = "none"  # those handlers would print every message that comes or goes
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [_PlaceHandler()]
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        warnings.filterwarnings("ignore", module=name)


def hasten(association: Association) -> None:
    """Let nothing wait on an open connection, and read it in large pieces.

    A message is two writes, command and data set. By Nagle's rule the second waits until the peer acknowledges the first, which a
    peer that expects more puts off for some 40 ms. So ours leave at once, and the peer's are acknowledged at once. pynetdicom
    would also read 4096 bytes at a time, and however many a PDU says that it has.
    """
    if association.dul.socket is None or association.dul.socket.socket is None:
        return
    connection = association.dul.socket.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    association.dul.socket.recv = partial(_receive, connection)  # type: ignore[method-assign]


def _receive(connection: socket.socket, nr_bytes: int) -> bytearray:
    """Exactly ``nr_bytes`` bytes, fewer where the peer closed; raises `OSError` where it is silent, too slow, or asks too much.

    The connection's timeout is for the whole of them: who sends a byte now and then is not heard for ever.
    """
    if nr_bytes > _LONGEST_PDU:
        raise OSError(errno.EMSGSIZE, "a PDU is longer than any that we agreed to")
    timeout = connection.gettimeout()
    deadline = time.monotonic() + timeout if timeout else math.inf
    content = bytearray(nr_bytes)
    view = memoryview(content)
    received = 0
    while received < nr_bytes and (count := connection.recv_into(view[received:])):
        received += count
        if received < nr_bytes and time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "a PDU comes too slowly")
        if _QUICK_ACKNOWLEDGEMENT:
            connection.setsockopt(socket.IPPROTO_TCP, _QUICK_ACKNOWLEDGEMENT, 1)
    view.release()
    del content[received:]
    return content
