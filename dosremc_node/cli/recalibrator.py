"""The recalibration daemon's process: APScheduler is its clock, the engine does the work, and both give way to the node that serves.

The clock's jobs are declared here and kept in memory: it says when, and the ledger and the engine know what was done. A tick that comes twice,
in this process or in another, enqueues the same names, which the engine executes once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

import structlog
import torch
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from dosremc_node.engine import Engine, executor_slot, take_over
from dosremc_node.errors import WrongSetting
from dosremc_node.failures import describe
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.node import Node
from dosremc_node.recalibrating import (
    EXECUTORS,
    RECALIBRATE,
    TEND,
    Recalibration,
    chosen_domains,
    enqueue_all,
    enqueue_tending,
    plan_of,
    window_of,
)
from dosremc_node.records import Domain
from dosremc_node.supervision import beat

log = structlog.get_logger(__name__)

_LOWEST_PRIORITY = 19
_THREADS = 4
_LOOK_AGAIN_SECONDS = 30.0


def run(node: Node, stop: threading.Event, named: Sequence[str] = ()) -> int:
    """Recalibrate by the schedule until ``stop`` is set; answers the exit status. Raises `WrongSetting`, `ChangePlanUnreadable`."""
    give_way()
    plan_of(node)  # what is wrong with it is to be known now, not at night
    clock = BackgroundScheduler()
    with _at_work(node) as (work, engine):
        settings = node.settings.recalibration

        def recalibrate() -> None:
            now = datetime.now(UTC)
            names = enqueue_all(work, engine, chosen_domains(node, named), window_of(now))
            log.info("recalibration_due", runs=len(names))

        def tend() -> None:
            enqueue_tending(work, engine, datetime.now(UTC))

        jobs = ((recalibrate, _trigger(settings.schedule)), (tend, IntervalTrigger(minutes=settings.tend_minutes)))
        for job, trigger in jobs:
            clock.add_job(partial(_ticked, job), trigger, coalesce=True, max_instances=1, misfire_grace_time=None)
        clock.start()
        log.info("recalibrator_started", schedule=settings.schedule)
        _until(stop.is_set, node)
        clock.shutdown(wait=False)
    return 0


def run_once(node: Node, chosen: Sequence[Domain], window: str, stop: threading.Event) -> None:
    """Recalibrate these domains over the window now, and see to what was proposed; returns when that is through, or ``stop`` is set.

    What is interrupted goes on at the next run.
    """
    with _at_work(node) as (work, engine):
        names = [enqueue_tending(work, engine, datetime.now(UTC)), *enqueue_all(work, engine, chosen, window)]
        _until(lambda: stop.is_set() or all(map(engine.has_ended, names)), node)


def give_way() -> None:
    """From here on this process has the lowest priority and computes on one processor: a study that comes meanwhile is not kept waiting."""
    os.nice(_LOWEST_PRIORITY)
    torch.set_num_threads(1)


@contextmanager
def _at_work(node: Node) -> Iterator[tuple[Recalibration, Engine]]:
    """The engine running, and one process for images, which inherits the priority."""
    settings = node.settings.worker
    with (
        executor_slot(node.settings.storage.folder / EXECUTORS) as executor,
        # Before the engine and its threads.
        ImagingWorkers(1, settings.decoding_seconds, settings.decoding_megabytes) as workers,
    ):
        work = Recalibration(node, workers)
        engine = Engine(node.settings.database.engine_url, executor, _THREADS)
        engine.launch({}, {}, one_over_all_processes=[RECALIBRATE, TEND])
        try:
            yield work, engine
        finally:
            engine.stop(0)
            work.stopped.set()


def _ticked(job: Callable[[], None]) -> None:
    try:
        job()
    except Exception as error:  # noqa: BLE001 - the boundary: the clock goes on, and the next tick is another try
        log.error("tick_failed", reason=describe(error))  # noqa: TRY400 - no traceback: see `describe`


def _until(ended: Callable[[], bool], node: Node) -> None:
    """Wait, say that the process works, and take over what a dead one left."""
    waits, look_again = threading.Event(), 0.0
    while not ended():
        beat()
        look_again -= 1.0
        if look_again <= 0:
            take_over(node.settings.storage.folder / EXECUTORS)
            look_again = _LOOK_AGAIN_SECONDS
        waits.wait(1.0)


def _trigger(schedule: str) -> CronTrigger:
    try:
        return CronTrigger.from_crontab(schedule)
    except ValueError as error:
        raise WrongSetting(where="recalibration", key="schedule", value=schedule, expected=f"cron text ({error})") from error
