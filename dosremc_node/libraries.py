"""How the DICOM libraries behave in every process of ours: they take what is odd as it is, and print no value of it (promise 13).

Real headers break the rules of value representations all the time; what matters of them is checked where it is used. And
a library's complaint quotes the value: pydicom's warnings a name or a date, pynetdicom's and highdicom's lines a UID. The
place in their source says as much to somebody who looks for a fault.
"""

from __future__ import annotations

import logging
import warnings

import pydicom.config
import structlog
from pynetdicom import _config as pynetdicom_config

log = structlog.get_logger(__name__)

_LIBRARIES = ("pydicom", "pynetdicom", "highdicom")


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
