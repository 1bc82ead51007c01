"""The receiver's process: it takes images in."""

from __future__ import annotations

import threading
from functools import partial

import structlog

from dosremc_node.dispatch import enter_report
from dosremc_node.node import Node
from dosremc_node.reception import Door, Receiver
from dosremc_node.refusal_counter import RefusalCounter
from dosremc_node.supervision import WRONG_SETTINGS, wait_and_beat
from dosremc_node.workflow import receive

log = structlog.get_logger(__name__)


def run(node: Node, stop: threading.Event, door: Door | None = None) -> int:
    """Listen, at the door that the supervisor has opened or at one of its own, until ``stop`` is set; answers the exit status."""
    settings = node.settings
    refusals = RefusalCounter(node.ledger)
    receiver = Receiver(
        settings.reception,
        settings.node.ae_title,
        node.store,
        partial(receive, node),
        partial(enter_report, node),
        refused=refusals.add,
        door=door,
    )
    try:
        receiver.start()
    except OSError as error:
        log.error("cannot_listen", host=settings.reception.host, port=settings.reception.port, reason=error.strerror)  # noqa: TRY400
        return WRONG_SETTINGS
    refusals.start()
    status = wait_and_beat(stop, receiver.is_listening)
    receiver.stop()
    refusals.stop()
    return status
