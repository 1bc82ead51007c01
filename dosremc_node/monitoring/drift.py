"""Metrics of drift, from what the last look at each scanner left in the ledger: a scrape computes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.drift import alarms, latest_figures

MOST_SCANNERS = 50
"""Scanner keys that get lines of their own, those with the most exams: a header can say anything."""
_SHOWN = {
    "exams": ("dosremc_drift_exams", "Exams since the reference, or all where there is none."),
    "flagged": ("dosremc_drift_flagged_share", "Share of the latest exams that is flagged under the reference's operating point."),
    "reference_flagged": ("dosremc_drift_reference_flagged_share", "Share of the reference's exams that is flagged."),
    "psi": ("dosremc_drift_psi", "Population stability index of the latest scores against the reference."),
    "ks": ("dosremc_drift_ks", "Kolmogorov-Smirnov distance of the latest scores from the reference."),
    "bank distance": ("dosremc_drift_bank_distance", "Largest distance of the latest measured images from their bank in any layer."),
}
_CHART = "chart "


def drift_metrics(ledger: Ledger) -> Iterator[Metric]:
    """Figures and open alarms by scanner key."""
    found = latest_figures(ledger)
    keys = sorted(found, key=lambda key: -found[key].get("exams", 0.0))[:MOST_SCANNERS]
    for figure, (name, text) in _SHOWN.items():
        family = GaugeMetricFamily(name, text, labels=["scanner_key"])
        for key in keys:
            if figure in found[key]:
                family.add_metric([key], found[key][figure])
        yield family
    charts = GaugeMetricFamily("dosremc_drift_chart", "CUSUM as a part of its limit: 1 is an alarm.", labels=["scanner_key", "chart"])
    for key in keys:
        for figure, value in found[key].items():
            if figure.startswith(_CHART):
                charts.add_metric([key, figure.removeprefix(_CHART)], value)
    yield charts
    waiting = GaugeMetricFamily("dosremc_drift_alarms", "Alarms of drift that wait for a person, by kind.", labels=["kind"])
    for kind, count in Counter(each.kind for each in alarms(ledger)).items():
        waiting.add_metric([kind], count)
    yield waiting
