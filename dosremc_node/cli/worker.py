"""The worker's process: it assesses and delivers what the ledger says is due."""

from __future__ import annotations

import threading

import structlog

from dosremc_node.anticipation import Anticipation
from dosremc_node.engine import Engine, executor_slot
from dosremc_node.housekeeping import keep_house
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.node import Node
from dosremc_node.outcome_intake import OutcomeIntake
from dosremc_node.sweeper import ASSESS, DELIVER, EXECUTORS, RECONCILE, Sweeper
from dosremc_node.watching import keep_watch
from dosremc_node.workflow import Journey

log = structlog.get_logger(__name__)

_DELIVERIES_AT_ONCE = 16
_SPARE_THREADS = 8
_SECONDS_TO_FINISH = 20


def run(node: Node, stop: threading.Event) -> int:
    """Work until ``stop`` is set; answers the exit status."""
    settings = node.settings.worker
    outcomes = OutcomeIntake(node)  # before anything runs: it refuses a site's files that are wrong
    with (
        executor_slot(node.settings.storage.folder / EXECUTORS) as executor,
        # Before the engine and its threads.
        ImagingWorkers(settings.decoding_processes, settings.decoding_seconds, settings.decoding_megabytes) as workers,
    ):
        threads = settings.concurrent_studies + _DELIVERIES_AT_ONCE + _SPARE_THREADS
        engine = Engine(node.settings.database.engine_url, executor, threads)
        journey = Journey(node, workers)
        journey.warm_up()
        # A queue that is never used would be asked for nothing, again and again.
        reconciling = {RECONCILE: 1} if node.settings.reconciliation.source else {}
        engine.launch({ASSESS: settings.concurrent_studies, **reconciling}, one_at_a_time_per_key={DELIVER: _DELIVERIES_AT_ONCE})
        anticipation = Anticipation(node, journey.inputs, workers)
        for _ in range(settings.decoding_processes):
            threading.Thread(target=anticipation.run, args=(stop,), name="anticipation", daemon=True).start()
        threading.Thread(target=keep_house, args=(node, stop), name="housekeeping", daemon=True).start()
        threading.Thread(target=keep_watch, args=(node, stop), name="drift", daemon=True).start()
        threading.Thread(target=outcomes.run, args=(stop,), name="outcomes", daemon=True).start()
        log.info("worker_started", executor=executor)
        Sweeper(journey, engine).run(stop)
        engine.stop(_SECONDS_TO_FINISH)
    return 0
