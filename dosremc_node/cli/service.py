"""``serve``: the node itself, as one supervised pair of processes or as one role."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import structlog
import typer

from dosremc_node.cli.common import ConfigOption, SetOption, read_settings
from dosremc_node.delivery import refuse_clinical_use
from dosremc_node.engine import Engine, executor_slot
from dosremc_node.monitoring import ProbeServer, configure_logging
from dosremc_node.monitoring.metrics import LedgerCollector
from dosremc_node.monitoring.probes import Readiness
from dosremc_node.node import Node, open_node
from dosremc_node.reception import Receiver
from dosremc_node.settings import Settings
from dosremc_node.supervision import WRONG_SETTINGS, Supervisor, end_with_parent, stop_on_signal
from dosremc_node.sweeper import ASSESS, COMPARE, DELIVER, Sweeper
from dosremc_node.workflow import Journey, receive

log = structlog.get_logger(__name__)

_DELIVERIES_AT_ONCE = 16
_SPARE_THREADS = 8
_SECONDS_TO_FINISH = 20


class Role(StrEnum):
    RECEIVER = "receiver"
    WORKER = "worker"
    ALL = "all"


def register(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    *,
    role: Annotated[Role, typer.Option(help="What this process does; `all` runs the others as processes of their own.")] = Role.ALL,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Run the node. Example: dosremc-node serve --config config/node.toml"""
    settings = read_settings(config, options)
    stop = stop_on_signal()
    if child:
        end_with_parent(stop)
    configure_logging(settings.monitoring, role)
    node = open_node(settings)
    release = node.release_in_force().release
    for destination in settings.destinations:
        refuse_clinical_use(release, destination)
    log.info(
        "node_started",
        ae_title=settings.node.ae_title,
        release=release.release_id,
        destinations=[each.name for each in settings.destinations],
    )
    run: dict[Role, Callable[[Node, threading.Event], int]] = {
        Role.RECEIVER: _receive,
        Role.WORKER: _work,
        Role.ALL: partial(_supervise, arguments=_again(config, options)),
    }
    raise typer.Exit(run[role](node, stop))


def _again(config: Path | None, options: Sequence[str] | None) -> list[str]:
    arguments = ["--config", str(config)] if config else []
    for option in options or ():
        arguments += ["--set", option]
    return arguments


def _supervise(node: Node, stop: threading.Event, arguments: Sequence[str]) -> int:
    supervisor = Supervisor([Role.RECEIVER, Role.WORKER], arguments)
    probes = _probes(node.settings, node, lambda: supervisor.why_not_ready() or _why_no_reception(node.settings))
    try:
        return supervisor.run(stop)
    finally:
        if probes:
            probes.stop()


def _probes(settings: Settings, node: Node, why_not_ready: Readiness) -> ProbeServer | None:
    if not settings.monitoring.port:
        return None
    server = ProbeServer(settings.monitoring.host, settings.monitoring.port, LedgerCollector(node.ledger, node.store), why_not_ready)
    server.start()
    return server


def _why_no_reception(settings: Settings) -> str | None:
    host = "127.0.0.1" if settings.reception.host in ("0.0.0.0", "::") else settings.reception.host  # noqa: S104 - compared, not bound
    try:
        with closing(socket.create_connection((host, settings.reception.port), timeout=2.0)):
            return None
    except OSError:
        return "nothing listens on the DICOM port yet"


def _receive(node: Node, stop: threading.Event) -> int:
    settings = node.settings
    receiver = Receiver(settings.reception, settings.node.ae_title, node.store, partial(receive, node))
    try:
        receiver.start()
    except OSError as error:
        log.error("cannot_listen", host=settings.reception.host, port=settings.reception.port, reason=error.strerror)  # noqa: TRY400
        return WRONG_SETTINGS
    stop.wait()
    receiver.stop()
    return 0


def _work(node: Node, stop: threading.Event) -> int:
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
