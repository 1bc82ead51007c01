"""Prometheus metrics, counted from the ledger's rows at each scrape: so they are the same whichever process is asked, and survive a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dosremc_node.artifacts import ArtifactStore
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.conflict_decisions import conflict_counts
from dosremc_node.ledger.images import image_counts
from dosremc_node.ledger.messages import MessageState, message_counts
from dosremc_node.ledger.overview import delivery_counts, instance_counts, study_counts
from dosremc_node.ledger.reconciliation import missing_counts
from dosremc_node.monitoring.drift import drift_metrics
from dosremc_node.monitoring.flow import OTHERS, flow_metrics
from dosremc_node.monitoring.outcomes import outcome_metrics
from dosremc_node.records import Domain, LabelState


class LedgerCollector(Collector):
    """Studies, instances and deliveries by state, and the free space of the artifact store."""

    def __init__(
        self,
        ledger: Ledger,
        store: ArtifactStore,
        peers: Collection[str] = (),
        starts: Callable[[], Mapping[str, int]] = dict,
        sinks: Collection[str] = (),
        *,
        labels: Callable[[], Mapping[tuple[Domain, LabelState], int]] = dict,
    ) -> None:
        """``peers`` are the AE titles that get lines of their own; ``starts`` says how often each process was started; ``sinks`` are
        the names of the places that the audit trail goes to; ``labels`` counts breasts by domain and label.
        """
        self._ledger = ledger
        self._store = store
        self._peers = peers
        self._starts = starts
        self._sinks = sinks
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        studies = GaugeMetricFamily("dosremc_studies", "Studies by state.", labels=["state"])
        for state, count in study_counts(self._ledger).items():
            studies.add_metric([state], count)
        yield studies
        instances = GaugeMetricFamily("dosremc_instances", "Received instances by standing.", labels=["standing"])
        for standing, count in instance_counts(self._ledger).items():
            instances.add_metric([standing], count)
        yield instances
        images = GaugeMetricFamily("dosremc_images", "Received images by what became of their bytes.", labels=["place"])
        for place, count in asdict(image_counts(self._ledger)).items():
            images.add_metric([place], count)
        yield images
        deliveries = GaugeMetricFamily("dosremc_deliveries", "Documents by destination and state.", labels=["destination", "state"])
        for (destination, delivery_state), count in delivery_counts(self._ledger).items():
            deliveries.add_metric([destination, delivery_state], count)
        yield deliveries
        yield from self._from_the_hospital()
        yield from outcome_metrics(self._ledger, self._labels())
        yield from drift_metrics(self._ledger)
        yield from flow_metrics(self._ledger, self._peers, self._sinks, datetime.now(UTC))
        starts = CounterMetricFamily("dosremc_process_starts", "How often the process of each role was started.", labels=["role"])
        for role, count in self._starts().items():
            starts.add_metric([role], count)
        yield starts
        yield GaugeMetricFamily("dosremc_storage_free_bytes", "Free space of the artifact store.", value=self._store.free_bytes())

    def _from_the_hospital(self) -> Iterator[Metric]:
        """What of other systems' needs a person's eye."""
        conflicts = GaugeMetricFamily("dosremc_conflicts", "Conflicts about patients that wait for a person, by kind.", labels=["kind"])
        for kind, count in conflict_counts(self._ledger).items():
            conflicts.add_metric([kind], count)
        yield conflicts
        messages = GaugeMetricFamily("dosremc_messages", "HL7 messages by type and state.", labels=["type", "state"])
        for (message_type, message_state), count in _of_known_types(message_counts(self._ledger)).items():
            messages.add_metric([message_type, message_state], count)
        yield messages
        missing = GaugeMetricFamily("dosremc_missing_studies", "Studies of which a PACS has more than the node.", labels=["source"])
        for source, count in missing_counts(self._ledger).items():
            missing.add_metric([source], count)
        yield missing


def _of_known_types(counts: Mapping[tuple[str, MessageState], int]) -> Mapping[tuple[str, MessageState], int]:
    """Anything can stand in a message where its type should: only a type that was accepted at least once has lines of its own."""
    known = {kind for kind, state in counts if state in (MessageState.APPLIED, MessageState.WAITING)}
    found: Counter[tuple[str, MessageState]] = Counter()
    for (kind, state), count in counts.items():
        found[kind if kind in known else OTHERS, state] += count
    return found
