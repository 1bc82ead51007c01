"""The worker's process: it assesses and delivers what the ledger says is due."""

from __future__ import annotations

import threading

import structlog

from dosremc_node.anticipation import Anticipation
from dosremc_node.engine import Engine, executor_slot
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.node import Node
from dosremc_node.settings import WorkerSettings
from dosremc_node.sweeper import ASSESS, COMPARE, DELIVER, EXECUTORS, Sweeper
from dosremc_node.workflow import Journey

log = structlog.get_logger(__name__)

_DELIVERIES_AT_ONCE = 16
_SPARE_THREADS = 8
_SECONDS_TO_FINISH = 20


def run(node: Node, stop: threading.Event) -> int:
    """Work until ``stop`` is set; answers the exit status."""
    settings = node.settings.worker
    # Before the engine and its threads, and one process more for what is only done ahead of time.
    with (
        executor_slot(node.settings.storage.folder / EXECUTORS) as executor,
        _imaging_workers(settings, settings.decoding_processes) as workers,
        _imaging_workers(settings, 1) as workers_ahead,
    ):
        threads = settings.concurrent_studies + _DELIVERIES_AT_ONCE + _SPARE_THREADS
        engine = Engine(node.settings.database.engine_url, executor, threads)
        journey = Journey(node, workers)
        journey.warm_up()
        engine.launch({ASSESS: settings.concurrent_studies, COMPARE: 1}, one_at_a_time_per_key={DELIVER: _DELIVERIES_AT_ONCE})
        anticipation = Anticipation(node, journey.inputs, workers_ahead)
        threading.Thread(target=anticipation.run, args=(stop,), name="anticipation", daemon=True).start()
        log.info("worker_started", executor=executor)
        Sweeper(journey, engine).run(stop)
        engine.stop(_SECONDS_TO_FINISH)
    return 0


def _imaging_workers(settings: WorkerSettings, processes: int) -> ImagingWorkers:
    return ImagingWorkers(processes, settings.decoding_seconds, settings.decoding_megabytes)
