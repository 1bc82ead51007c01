"""Pictures of the results: for each pair of vendors the ROC curves and the reliability of the rows that tell the story."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np

from dosremc_node.evaluation import Labels, Values, sigmoid
from dosremc_node.evaluation.plots import draw_reliability, draw_roc
from dosremc_node.network.science.measuring import UNADAPTED, Measures, Transfer
from dosremc_node.network.science.presets import Preset
from dosremc_node.network.science.table import calibrated


def draw_all(measures: Measures, preset: Preset, out: Path) -> list[Path]:
    """Two PNG files for each ordered pair of vendors, and their paths."""
    return [path for pair in permutations(measures.vendors, 2) for path in _pair(measures, preset, out, *pair)]


def _pair(measures: Measures, preset: Preset, out: Path, source: str, target: str) -> list[Path]:
    shown = {
        f"trained on {target}": Transfer(UNADAPTED, target, target),
        f"trained on {source}": Transfer(UNADAPTED, source, target),
        f"AdaBN, {preset.statistics[1]} images": Transfer(f"adabn_{preset.statistics[1]}", source, target),
        f"BNFC, {preset.many} labels": Transfer(f"bnfc_{preset.many}", source, target),
        f"full, {preset.many} labels": Transfer(f"full_{preset.many}", source, target),
    }
    labels = measures.test_labels(target)
    roc, reliability = (out / f"{kind}-{source}-{target}.png" for kind in ("roc", "reliability"))
    title = f"Simulated vendors, {source} to {target}, breasts, {measures.seeds} seeds"
    draw_roc(
        roc,
        f"{title}: mean and 95 % band",
        {name: list(zip(measures.test_scores(transfer, target), labels, strict=True)) for name, transfer in shown.items()},
    )
    draw_reliability(
        reliability, f"{title}: calibrated where trained", {name: _pooled(measures, transfer, labels) for name, transfer in shown.items()}
    )
    return [roc, reliability]


def _pooled(measures: Measures, transfer: Transfer, labels: list[Labels]) -> tuple[Values, Labels]:
    """Probabilities and labels of all seeds: calibrated, they may be put together."""
    return sigmoid(np.concatenate(calibrated(measures, transfer))), np.concatenate(labels)
