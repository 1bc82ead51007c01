"""The auditor: tells the audit trail what has arrived and what was refused, and hands the trail on to places outside."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from dosremc_node.failures import describe
from dosremc_node.ledger import Ledger, audit, forwarding, transfers
from dosremc_node.monitoring.audit_messages import START, STOP, Source
from dosremc_node.monitoring.audit_sinks import Sink

log = structlog.get_logger(__name__)

_POLL_SECONDS = 1.0
_ENTRIES_AT_ONCE = 500
_HOLD = timedelta(seconds=60)
_AGAIN_SECONDS = 10.0
_PAUSE_SECONDS = 0.2
"""Between two batches of a trail that has much to be told of, such as after an upgrade: SQLite's writers have no queue to wait in."""


class Auditor:
    """Runs in a thread of the process that an administrator started; several nodes on one ledger share the work."""

    def __init__(self, ledger: Ledger, sinks: Sequence[Sink], source: Source) -> None:
        self._ledger, self._sinks, self._source = ledger, sinks, source
        self._holder = f"{socket.gethostname()[:48]}:{os.getpid()}"
        self._not_before: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="auditor", daemon=True)

    def start(self, actor: str) -> None:
        """Enter the start of the application, and begin."""
        audit.record(self._ledger, actor, START, self._source.node, {"host": self._source.host})
        self._thread.start()

    def stop(self, actor: str) -> None:
        """Enter its end, and hand on what is left; a place that is away gets it after the next start."""
        self._stop.set()
        self._thread.join()
        try:
            audit.record(self._ledger, actor, STOP, self._source.node, {"host": self._source.host})
            self.step()
        except Exception as error:  # noqa: BLE001 - the boundary: an audit that waits must not keep the node from ending
            log.warning("audit_waits", reason=describe(error))

    def _run(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            try:
                self.step()
            except Exception as error:  # noqa: BLE001 - the boundary: what could not be told now is told at the next look
                log.warning("audit_waits", reason=describe(error))

    def step(self) -> None:
        """Look once."""
        while transfers.tell_of_instances(self._ledger) and not self._stop.wait(_PAUSE_SECONDS):
            pass
        transfers.tell_of_refusals(self._ledger)
        for sink in self._sinks:
            if time.monotonic() >= self._not_before.get(sink.name, 0.0):
                self._hand_on(sink)

    def _hand_on(self, sink: Sink) -> None:
        last = audit.last_sequence(self._ledger)
        if forwarding.positions(self._ledger).get(sink.name, 0) == last:
            return
        after = forwarding.take(self._ledger, sink.name, self._holder, datetime.now(UTC), _HOLD)
        while after is not None and (batch := audit.entries(self._ledger, after, _ENTRIES_AT_ONCE)):
            try:
                sink.put(batch, self._source)
            except OSError as error:
                log.warning("audit_not_handed_on", sink=sink.name.partition(" ")[0], reason=describe(error))
                self._not_before[sink.name] = time.monotonic() + _AGAIN_SECONDS
                return
            after = batch[-1].sequence
            forwarding.advance(self._ledger, sink.name, self._holder, after)
