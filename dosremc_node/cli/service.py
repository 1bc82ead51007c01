"""``serve``: the node itself, as one supervised pair of processes or as one role."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
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
from dosremc_node.monitoring.probes import Readiness
from dosremc_node.monitoring.readiness import why_not_ready
from dosremc_node.node import Node, open_node
from dosremc_node.settings import Settings
from dosremc_node.supervision import Supervisor, end_with_parent, stop_on_signal

log = structlog.get_logger(__name__)


_MEGABYTE = 1 << 20


class Role(StrEnum):
    RECEIVER = "receiver"
    WORKER = "worker"
    MESSAGES = "messages"
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
    if settings.reconciliation.source:
        settings.destination(settings.reconciliation.source)  # raises where there is none of that name
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
        raise typer.Exit(work(node, stop))


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
    roles = [Role.RECEIVER, Role.WORKER, *([Role.MESSAGES] if node.settings.messages.port else [])]
    supervisor = Supervisor(roles, arguments, node.settings.monitoring.hung_seconds)

    def why_not() -> str | None:
        return supervisor.why_not_ready() or why_not_ready(node.ledger, node.store, keep_free) or _why_no_reception(node.settings)

    keep_free = node.settings.reception.keep_free_megabytes * _MEGABYTE
    probes = _probes(node, why_not, supervisor.starts)
    try:
        return supervisor.run(stop)
    finally:
        if probes:
            probes.stop()


def _probes(node: Node, why_not: Readiness, starts: Callable[[], Mapping[str, int]]) -> ProbeServer | None:
    settings = node.settings.monitoring
    if not settings.port:
        return None
    peers = frozenset(peer.ae_title for peer in node.settings.reception.peers)
    server = ProbeServer(settings.host, settings.port, LedgerCollector(node.ledger, node.store, peers, starts), why_not)
    server.start()
    return server


def _why_no_reception(settings: Settings) -> str | None:
    host = "127.0.0.1" if settings.reception.host in ("0.0.0.0", "::") else settings.reception.host  # noqa: S104 - compared, not bound
    try:
        with closing(socket.create_connection((host, settings.reception.port), timeout=2.0)):
            return None
    except OSError:
        return "nothing listens on the DICOM port yet"
