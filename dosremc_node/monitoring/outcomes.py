"""Outcomes and labels as Prometheus metrics: counts, never a patient."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from threading import Lock

from prometheus_client.core import GaugeMetricFamily, Metric

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.labels import label_counts
from dosremc_node.ledger.outcomes import outcome_counts
from dosremc_node.records import Domain, LabelRules, LabelState

_COUNTED_ANEW_SECONDS = 900.0


class LabelCounter:
    """Counts labels by domain and state, anew every quarter of an hour: they move by days, and are worked out from every exam."""

    def __init__(self, ledger: Ledger, rules: LabelRules) -> None:
        self._ledger = ledger
        self._rules = rules
        self._lock = Lock()
        self._counted: Mapping[tuple[Domain, LabelState], int] | None = None
        self._at = 0.0

    def __call__(self) -> Mapping[tuple[Domain, LabelState], int]:
        with self._lock:
            if self._counted is None or time.monotonic() - self._at >= _COUNTED_ANEW_SECONDS:
                self._counted = label_counts(self._ledger, self._rules, datetime.now(UTC))
                self._at = time.monotonic()
            return self._counted


def outcome_metrics(ledger: Ledger, labels: Mapping[tuple[Domain, LabelState], int]) -> Iterator[Metric]:
    """Reports by state, of which those in review wait for a person, and breasts of exams by label."""
    outcomes = GaugeMetricFamily("dosremc_outcomes", "Reports of pathology and follow-up by state.", labels=["state"])
    for state, count in outcome_counts(ledger).items():
        outcomes.add_metric([state], count)
    yield outcomes
    of_breasts = GaugeMetricFamily(
        "dosremc_labels", "Breasts of exams by domain and what is known of their truth.", labels=["domain", "state"]
    )
    for (domain, label_state), count in labels.items():
        of_breasts.add_metric([domain, label_state], count)
    yield of_breasts
