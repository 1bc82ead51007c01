"""Counts what the receiver refuses, and enters it in the ledger every few seconds: a port scan must not become a row for each try."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime

import structlog

from dosremc_node.failures import describe
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.refusals import Refusal, Refused, keep_refusals

log = structlog.get_logger(__name__)

_SECONDS = 5.0
_KINDS_AT_ONCE = 100
_MANY = "(many)"


class RefusalCounter:
    """May be told from any thread. What was counted since the last entry dies with the process; the log has it all the same."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._counts: Counter[Refusal] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)

    def add(self, kind: str, calling_ae_title: str, address: str, why: str) -> None:
        """Count one more; beyond a hundred different ones in a few seconds, who it was is no longer told apart."""
        refusal = Refusal(Refused(kind), calling_ae_title.strip(), address, why)
        with self._lock:
            if refusal not in self._counts and len(self._counts) >= _KINDS_AT_ONCE:
                refusal = Refusal(refusal.kind, _MANY, _MANY, why)
            self._counts[refusal] += 1

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Enter what is left."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_SECONDS):
            self.enter()
        self.enter()

    def enter(self) -> None:
        """Enter what was counted; where the ledger is away, it is entered the next time."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            keep_refusals(self._ledger, counts, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - the boundary: counting must not stop the receiver
            log.warning("refusals_wait", reason=describe(error))
            with self._lock:
                self._counts.update(counts)
