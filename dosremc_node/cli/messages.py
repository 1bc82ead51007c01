"""The process that takes in HL7 v2 messages of other systems."""

from __future__ import annotations

import ssl
import threading

import structlog

from dosremc_node.errors import TlsUnusable
from dosremc_node import outcomes
from dosremc_node.messages import Answering, MessageListener
from dosremc_node.node import Node
from dosremc_node.settings import MessageSettings
from dosremc_node.supervision import WRONG_SETTINGS, wait_and_beat
from dosremc_node.tls import server_context

log = structlog.get_logger(__name__)


def run(node: Node, stop: threading.Event) -> int:
    """Listen until ``stop`` is set; answers the exit status."""
    settings = node.settings.messages
    listener = MessageListener(settings, Answering(node.ledger, settings, dict.fromkeys(outcomes.TYPES, outcomes.check)), _tls(settings))
    try:
        listener.start()
    except OSError as error:
        log.error("cannot_listen", host=settings.host, port=settings.port, reason=error.strerror)  # noqa: TRY400
        return WRONG_SETTINGS
    wait_and_beat(stop)
    listener.stop()
    return 0


def _tls(settings: MessageSettings) -> ssl.SSLContext | None:
    if settings.tls is None:
        return None
    tls = settings.tls
    try:
        return server_context(tls.certificate_file, tls.key_file, tls.ca_file, minimum_version=tls.minimum_version)
    except OSError as error:
        raise TlsUnusable(peer="senders of messages", why=error.strerror or type(error).__name__) from None
