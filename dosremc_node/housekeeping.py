"""What a worker does for the disk, in a thread of its own: stock is taken once, and retention looks again and again."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Event

import structlog

from dosremc_node.failures import describe
from dosremc_node.node import Node
from dosremc_node.retention import make_room, remove_old_images
from dosremc_node.stocktaking import take_stock

_LOOK_AGAIN_SECONDS = 15.0

log = structlog.get_logger(__name__)


def keep_house(node: Node, stop: Event) -> None:
    """Take stock, and then remove what may go, until ``stop`` is set."""
    stock_is_taken = False
    while not stop.is_set():
        try:
            if not stock_is_taken:
                take_stock(node)
                stock_is_taken = True
            remove_old_images(node, datetime.now(UTC))
            make_room(node, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - the boundary: whatever it was, it is tried again at the next look
            log.warning("housekeeping_failed", reason=describe(error))
        stop.wait(_LOOK_AGAIN_SECONDS)
