"""One log for everything: our own events as they are, those of libraries reduced to what cannot name a patient (promise 13).

A library's warning can quote the value that it complains of, and that may be a name or a birth date. So of a foreign
record only the logger, the level and the place are shown; of an exception that nobody caught, what `describe` allows.
"""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from types import TracebackType

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from dosremc_node.failures import describe
from dosremc_node.settings import MonitoringSettings


def configure_logging(settings: MonitoringSettings, role: str) -> None:
    """Log to standard error in the configured format; ``role`` names the process on every line."""

    def name_the_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**event, "role": role}

    shared: list[Processor] = [
        name_the_process,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_reduce, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(settings)],
        )
    )
    _attach(handler, settings.log_level)


def _attach(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("dosremc_node").setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda failure: _log_uncaught(failure.exc_type, failure.exc_value, failure.exc_traceback)


def _renderer(settings: MonitoringSettings) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def _reduce(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    record.exc_info = None
    event["event"] = "library_message"
    event["library"] = record.name
    event["place"] = f"{Path(record.pathname).name}, line {record.lineno}"
    event.pop("exc_info", None)
    return event


def _log_uncaught(_kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None) -> None:
    if error is not None and not isinstance(error, KeyboardInterrupt):
        structlog.get_logger("dosremc_node").critical("uncaught_error", reason=describe(error))
