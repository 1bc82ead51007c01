"""Metrics of how work flows. Every label is one of few: a state, a peer of the settings, a domain, a destination."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from dosremc_node.ledger import Ledger, audit, forwarding
from dosremc_node.ledger.flow import arrivals, latencies, oldest, release_since
from dosremc_node.ledger.proposals import list_proposals
from dosremc_node.ledger.refusals import refusal_counts
from dosremc_node.ledger.shadows import withheld

OTHERS = "others"
NO_DOMAIN = "none"
BOUNDS_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


def flow_metrics(ledger: Ledger, peers: Collection[str], sinks: Collection[str], now: datetime) -> Iterator[Metric]:
    """What arrives and what is refused, how long each stage takes, what waits, what is in force, proposed and withheld, how far the audit trail has come."""
    yield _received(ledger, peers)
    yield _refused(ledger, peers)
    yield _stages(ledger)
    yield _waiting(ledger, now)
    yield _release(ledger)
    yield _proposals(ledger)
    yield _withheld(ledger)
    yield _audit(ledger, sinks)


def _received(ledger: Ledger, peers: Collection[str]) -> Metric:
    counts: Counter[tuple[str, str]] = Counter()
    for (calling, domain), count in arrivals(ledger).items():
        counts[_named(calling, peers), domain or NO_DOMAIN] += count
    labels = ["calling_ae_title", "domain"]
    family = CounterMetricFamily("dosremc_instances_received", "Instances received, by sender and domain.", labels=labels)
    for (calling, domain), count in counts.items():
        family.add_metric([calling, domain], count)
    return family


def _refused(ledger: Ledger, peers: Collection[str]) -> Metric:
    counts: Counter[tuple[str, str, str]] = Counter()
    for (kind, calling, why), count in refusal_counts(ledger).items():
        counts[kind, _named(calling, peers), why] += count
    labels = ["kind", "calling_ae_title", "reason"]
    family = CounterMetricFamily("dosremc_refused", "Associations and objects refused, by sender and reason.", labels=labels)
    for refusal, count in counts.items():
        family.add_metric(list(refusal), count)
    return family


def _named(calling: str, peers: Collection[str]) -> str:
    """Anybody can call himself anything: only peers of the settings get lines of their own."""
    return calling if calling in peers else OTHERS


def _stages(ledger: Ledger) -> Metric:
    family = HistogramMetricFamily("dosremc_stage_seconds", "How long each stage took, by domain.", labels=["stage", "domain"])
    bounds = [*map(str, BOUNDS_SECONDS), "+Inf"]
    for (stage, domain), (counts, seconds) in latencies(ledger, BOUNDS_SECONDS).items():
        family.add_metric([stage, domain or NO_DOMAIN], list(zip(bounds, counts, strict=True)), seconds)
    return family


def _waiting(ledger: Ledger, now: datetime) -> Metric:
    labels = ["queue", "destination"]
    family = GaugeMetricFamily("dosremc_oldest_waiting_seconds", "How long the oldest in each queue has waited.", labels=labels)
    for (queue, destination), since in oldest(ledger, now).items():
        family.add_metric([queue, destination], max(0.0, (now - since).total_seconds()))
    return family


def _release(ledger: Ledger) -> Metric:
    family = GaugeMetricFamily("dosremc_release_in_force_since_seconds", "Since when the release is in force.", labels=["release"])
    if in_force := release_since(ledger):
        family.add_metric([in_force[0]], in_force[1].timestamp())
    return family


def _proposals(ledger: Ledger) -> Metric:
    family = GaugeMetricFamily("dosremc_proposals", "Proposed changes of a release, by domain and state.", labels=["domain", "state"])
    for (domain, state), count in Counter((each.domain, each.state) for each in list_proposals(ledger)).items():
        family.add_metric([domain, state], count)
    return family


def _withheld(ledger: Ledger) -> Metric:
    family = GaugeMetricFamily("dosremc_domain_withheld", "1 where a domain is scored and not shown.", labels=["domain"])
    for domain in withheld(ledger):
        family.add_metric([domain], 1)
    return family


def _audit(ledger: Ledger, sinks: Collection[str]) -> Metric:
    """Of the places of the settings only: what was handed on to one that they no longer name waits for nothing."""
    family = GaugeMetricFamily("dosremc_audit_waiting_rows", "Rows of the audit trail that have not arrived outside.", labels=["sink"])
    last, positions = audit.last_sequence(ledger), forwarding.positions(ledger)
    for name in sinks:
        family.add_metric([name.partition(" ")[0]], last - positions.get(name, 0))
    return family
