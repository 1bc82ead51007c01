"""The process that takes in HL7 v2 messages of other systems."""

from __future__ import annotations

import threading

import structlog

from dosremc_node import outcomes
from dosremc_node.messages import Answering, MessageListener
from dosremc_node.node import Node
from dosremc_node.supervision import WRONG_SETTINGS, wait_and_beat

log = structlog.get_logger(__name__)


def run(node: Node, stop: threading.Event) -> int:
    """Listen until ``stop`` is set; answers the exit status."""
    settings = node.settings.messages
    listener = MessageListener(settings, Answering(node.ledger, settings, dict.fromkeys(outcomes.TYPES, outcomes.check)))
    try:
        listener.start()
    except OSError as error:
        log.error("cannot_listen", host=settings.host, port=settings.port, reason=error.strerror)  # noqa: TRY400
        return WRONG_SETTINGS
    status = wait_and_beat(stop, listener.is_listening)
    listener.stop()
    return status
