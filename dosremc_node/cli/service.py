"""``serve``: the node itself, as one supervised pair of processes or as one role."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import structlog
import typer

from dosremc_node.cli.common import ConfigOption, SetOption, actor, read_settings
from dosremc_node.delivery import refuse_clinical_use
from dosremc_node.monitoring import ProbeServer, configure_logging
from dosremc_node.monitoring.audit_messages import this_source
from dosremc_node.monitoring.audit_sinks import sinks
from dosremc_node.monitoring.auditor import Auditor
from dosremc_node.monitoring.metrics import LedgerCollector
from dosremc_node.monitoring.outcomes import LabelCounter
from dosremc_node.monitoring.probes import Readiness
from dosremc_node.monitoring.readiness import why_not_ready
from dosremc_node.node import Node, open_node
from dosremc_node.reception import Door
from dosremc_node.settings import Settings
from dosremc_node.supervision import WRONG_SETTINGS, Child, Supervisor, end_with_parent, stop_on_signal

log = structlog.get_logger(__name__)


_MEGABYTE = 1 << 20


class Role(StrEnum):
    RECEIVER = "receiver"
    WORKER = "worker"
    MESSAGES = "messages"
    RECALIBRATOR = "recalibrator"
    ALL = "all"


def register(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    *,
    role: Annotated[Role, typer.Option(help="What this process does; `all` runs the others as processes of their own.")] = Role.ALL,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
    door: Annotated[str, typer.Option("--door", hidden=True)] = "",
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
    if settings.reconciliation.source:
        settings.destination(settings.reconciliation.source)  # raises where there is none of that name
    if settings.outcomes.codes_file or settings.outcomes.text_rules_file:
        import_module("dosremc_node.outcomes").OutcomeReader(settings.outcomes)  # raises where the site's files are wrong
    log.info(
        "node_started",
        ae_title=settings.node.ae_title,
        release=release.release_id,
        destinations=[each.name for each in settings.destinations],
    )
    with nullcontext() if child else _audited(node):
        if role is Role.ALL:
            raise typer.Exit(_supervise(node, stop, _again(config, options)))
        # Imported here because the supervisor needs nothing of what its children need: it is up, and has them up, sooner.
        work = import_module(f"dosremc_node.cli.{role}").run
        raise typer.Exit(work(node, stop, Door.inherited(door)) if door else work(node, stop))


@contextmanager
def _audited(node: Node) -> Iterator[None]:
    """The audit trail told of the start and the end, and handed on in between: by the process that was started, not by its children."""
    source = this_source(node.settings.node.name, node.settings.node.ae_title)
    auditor = Auditor(node.ledger, sinks(node.settings.audit), source)
    auditor.start(actor())
    try:
        yield
    finally:
        auditor.stop(actor())


def _again(config: Path | None, options: Sequence[str] | None) -> list[str]:
    arguments = ["--config", str(config)] if config else []
    for option in options or ():
        arguments += ["--set", option]
    return arguments


def _supervise(node: Node, stop: threading.Event, arguments: Sequence[str]) -> int:
    reception = node.settings.reception
    try:
        door = Door.open(reception.host, reception.port)
    except OSError as error:
        log.error("cannot_listen", host=reception.host, port=reception.port, reason=error.strerror)  # noqa: TRY400
        return WRONG_SETTINGS
    children = _children(node.settings, arguments, door)
    supervisor = Supervisor(children, node.settings.monitoring.hung_seconds, before_end=door.listening.close)

    def why_not() -> str | None:
        return supervisor.why_not_ready() or why_not_ready(node.ledger, node.store, reception.keep_free_megabytes * _MEGABYTE)

    probes = _probes(node, why_not, supervisor.starts)
    try:
        return supervisor.run(stop)
    finally:
        if probes:
            probes.stop()
        door.places.close()


def _children(settings: Settings, arguments: Sequence[str], door: Door) -> list[Child]:
    at_the_door = [*arguments, "--role", Role.RECEIVER, "--door", ",".join(map(str, door.descriptors))]
    receivers = [Role.RECEIVER, *(f"{Role.RECEIVER}-{number}" for number in range(2, settings.reception.processes + 1))]
    others = [Role.WORKER, *([Role.MESSAGES] if settings.messages.port else [])]
    beside = [Role.RECALIBRATOR] if settings.recalibration.enabled else []
    return [
        *(Child(name, at_the_door, door.descriptors) for name in receivers),
        *(Child(role, [*arguments, "--role", role]) for role in others),
        *(Child(role, [*arguments, "--role", role], essential=False) for role in beside),
    ]


def _probes(node: Node, why_not: Readiness, starts: Callable[[], Mapping[str, int]]) -> ProbeServer | None:
    settings = node.settings.monitoring
    if not settings.port:
        return None
    peers = frozenset(peer.ae_title for peer in node.settings.reception.peers)
    outside = [sink.name for sink in sinks(node.settings.audit)]
    labels = LabelCounter(node.ledger, node.settings.outcomes.label_rules)
    collector = LedgerCollector(node.ledger, node.store, peers, starts, outside, labels=labels)
    server = ProbeServer(settings.host, settings.port, collector, why_not)
    server.start()
    return server
