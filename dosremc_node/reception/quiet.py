"""What the DICOM libraries log, without the values they would print.

pynetdicom and pydicom put identifiers into their messages, down to the warnings ("Non-conformant 'Affected SOP Instance
UID' value ..."). The place in their source says as much to somebody who looks for a fault, and nothing of a patient.
"""

from __future__ import annotations

import logging
import traceback
import warnings
from pathlib import Path
from types import TracebackType

import structlog
from pynetdicom import _config

log = structlog.get_logger()

_LIBRARIES = ("pynetdicom", "pydicom")


class _PlaceHandler(logging.Handler):
    """Logs where a library had something to say, and the kind of exception, never the message."""

    def emit(self, record: logging.LogRecord) -> None:
        where = f"{record.name}:{record.lineno}"
        kind = record.exc_info[0] if record.exc_info else None
        if kind is None:
            log.warning("dicom_library", where=where)
        else:
            log.warning("dicom_library", where=where, error=kind.__name__)


def quieten_libraries() -> None:
    """See that no identifier leaves through the logs or warnings of pynetdicom and pydicom, in the whole process."""
    _config.LOG_HANDLER_LEVEL = "none"  # those handlers would print every message that comes or goes
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [_PlaceHandler()]
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        warnings.filterwarnings("ignore", module=name)


def places(trace: TracebackType | None) -> list[str]:
    """The way an exception took, as ``file:line``: what may be logged where its message may not."""
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(trace)]
