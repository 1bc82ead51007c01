"""The worker's process: it assesses and delivers what the ledger says is due."""

from __future__ import annotations

import threading

import structlog

from dosremc_node.engine import Engine, executor_slot
from dosremc_node.node import Node
from dosremc_node.sweeper import ASSESS, COMPARE, DELIVER, Sweeper
from dosremc_node.workflow import Journey

log = structlog.get_logger(__name__)

_DELIVERIES_AT_ONCE = 16
_SPARE_THREADS = 8
_SECONDS_TO_FINISH = 20


def run(node: Node, stop: threading.Event) -> int:
    """Work until ``stop`` is set; answers the exit status."""
    settings = node.settings
    with executor_slot(settings.storage.folder / "executors") as executor:
        studies_at_once = settings.worker.concurrent_studies
        engine = Engine(settings.database.engine_url, executor, threads=studies_at_once + _DELIVERIES_AT_ONCE + _SPARE_THREADS)
        journey = Journey(node)
        journey.warm_up()
        engine.launch({ASSESS: studies_at_once, COMPARE: 1}, one_at_a_time_per_key={DELIVER: _DELIVERIES_AT_ONCE})
        log.info("worker_started", executor=executor)
        Sweeper(journey, engine).run(stop)
        engine.stop(_SECONDS_TO_FINISH)
    return 0
