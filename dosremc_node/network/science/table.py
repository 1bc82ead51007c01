"""The table: one entry for each row, source, target and level, every figure with its 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from scipy.stats import t

from dosremc_node.evaluation import (
    Estimate,
    Values,
    WeightedFigure,
    brier,
    calibration_intercept,
    calibration_slope,
    expected_over_observed,
    sigmoid,
    weighted_pr_auc,
    weighted_roc_auc,
)
from dosremc_node.network.science.measuring import Level, Measures, Quantity, Transfer, mean, sensitivity_at_zero, specificity_at_zero
from dosremc_node.network.science.rows import Row

Entry = dict[str, Any]
DIGITS = 4


def table(measures: Measures, all_rows: Sequence[Row]) -> list[Entry]:
    """Every entry: a row in its domain where it is measured there, then from each vendor to each other one; breasts, then images."""
    return [entry(measures, row, *pair, level) for row in all_rows for pair in ways(measures.vendors, row) for level in reversed(Level)]


def ways(vendors: Sequence[str], row: Row) -> list[tuple[str, str]]:
    """From where to where a row is measured."""
    return [*((vendor, vendor) for vendor in vendors if row.in_domain), *permutations(vendors, 2)]


def entry(measures: Measures, row: Row, source: str, target: str, level: Level) -> Entry:
    """One object of table.json; README.md of the results says what each name means."""
    one = _Entry(measures, Transfer(row.name, source, target), level)
    labels = measures.test_labels(target, level)
    return {
        "method": row.name,
        "base_method": row.method,
        "title": row.title,
        "source": source,
        "target": target,
        "level": str(level),
        "n": sum(len(each) for each in labels),
        "malignant": int(sum(each.sum() for each in labels)),
        "roc_auc": _shares(one.area(target)),
        "pr_auc": _shares(one.area(target, weighted_pr_auc)),
        "roc_auc_above_unadapted": one.above_unadapted(),
        **one.elsewhere(),
        "own_threshold": one.at(measures.thresholds(one.transfer, level)),
        "carried_threshold": one.at(measures.carried_thresholds(source, level)),
        "carried_calibration": one.calibration(),
        "seconds": round(one.seconds(), 2),
    }


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is said of one transfer at one level."""

    measures: Measures
    transfer: Transfer
    level: Level

    def area(self, scored: str, figure: WeightedFigure = weighted_roc_auc) -> Quantity:
        """On a vendor's test set."""
        return self.measures.quantity(figure, self.measures.test_scores(self.transfer, scored, self.level), scored)

    def above_unadapted(self) -> Entry:
        """The gain over the network that was not adapted, on the same cases."""
        before = _Entry(self.measures, self.transfer.untouched, self.level)
        judged = (self.area(self.transfer.target) - before.area(self.transfer.target)).judged
        return {**_as_json(judged.estimate), "p": round(judged.p, DIGITS)}

    def elsewhere(self) -> Entry:
        """How the adapted network does on its source, and on the vendors that it has never seen."""
        source, target = self.transfer.source, self.transfer.target
        unseen = [vendor for vendor in self.measures.vendors if vendor not in {source, target}]
        if source == target or not unseen:
            return {}
        return {
            "roc_auc_on_source": _shares(self.area(source)),
            "roc_auc_on_unseen": _shares(mean([self.area(vendor) for vendor in unseen])),
        }

    def at(self, thresholds: Sequence[float]) -> Entry:
        """What a threshold, one for each seed, finds and spares."""
        scores = self.measures.test_scores(self.transfer, self.transfer.target, self.level)
        shifted = [values - threshold for values, threshold in zip(scores, thresholds, strict=True)]
        return {
            "sensitivity": _shares(self.measures.quantity(sensitivity_at_zero, shifted, self.transfer.target)),
            "specificity": _shares(self.measures.quantity(specificity_at_zero, shifted, self.transfer.target)),
        }

    def calibration(self) -> Entry:
        """How right the probabilities are with the map that came with the network; means over seeds with their t intervals."""
        labels = self.measures.test_labels(self.transfer.target, self.level)
        cases = list(zip(calibrated(self.measures, self.transfer, self.level), labels, strict=True))
        return {
            "brier": _as_json(over_few([brier(sigmoid(logits), malignant) for logits, malignant in cases])),
            "intercept": _as_json(over_few([calibration_intercept(*case).value for case in cases])),
            "slope": _as_json(over_few([calibration_slope(*case).value for case in cases])),
            "expected_over_observed": _as_json(
                over_few([expected_over_observed(sigmoid(logits), malignant).value for logits, malignant in cases])
            ),
        }

    def seconds(self) -> float:
        """What the adaptation took, the mean over seeds."""
        return float(np.mean([self.measures.scores(self.transfer, seed)["seconds"][0] for seed in range(self.measures.seeds)]))


def calibrated(measures: Measures, transfer: Transfer, level: Level = Level.BREAST) -> list[Values]:
    """The logits of the target's test set through the source's calibration, one array a seed."""
    scores = measures.test_scores(transfer, transfer.target, level)
    return [
        slope * values + intercept for values, (slope, intercept) in zip(scores, measures.carried_maps(transfer.source, level), strict=True)
    ]


def over_few(values: Sequence[float]) -> Estimate:
    """The mean of independent values with Student's interval; no limits where there is but one."""
    average, count = float(np.mean(values)), len(values)
    half = float(t.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count)) if count > 1 else np.nan
    return Estimate(average, average - half, average + half)


def _shares(quantity: Quantity) -> Entry:
    return _as_json(quantity.judged.estimate.clipped())


def _as_json(estimate: Estimate) -> Entry:
    """Numbers, and null for what does not exist."""
    found = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: round(value, DIGITS) if np.isfinite(value) else None for name, value in found.items()}
