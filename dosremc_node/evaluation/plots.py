"""Pictures: ROC curves with their bands, and reliability curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dosremc_node.evaluation.calibration import Bin, reliability
from dosremc_node.evaluation.cases import Labels, Values
from dosremc_node.evaluation.ranking import weighted_roc_auc, weighted_sensitivity
from dosremc_node.evaluation.resampling import Resamples, draw_seeds, over_seeds

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which the colour-blind tell apart."""
GRID = np.linspace(0, 1, 51)
BAND_RESAMPLES = 200

Cases = Sequence[tuple[Values, Labels]]
"""For each seed the scores and labels of its cases; one entry where there is one set of cases."""


def draw_roc(path: Path, title: str, curves: Mapping[str, Cases]) -> None:
    """ROC curves by name, each the mean over its seeds with its 95 % band (`over_seeds`), as a PNG."""
    figure, axes = _square(title, "1 - specificity", "Sensitivity")
    axes.plot([0, 1], [0, 1], color="0.75", linewidth=1, linestyle="--", zorder=1)
    for colour, (name, cases) in zip(COLOURS, curves.items(), strict=False):
        _roc(axes, name, cases, colour)
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def draw_reliability(path: Path, title: str, curves: Mapping[str, tuple[Values, Labels]]) -> None:
    """Reliability curves by name from probabilities and labels, with Wilson's intervals, as a PNG."""
    figure, axes = _square(title, "Mean probability of a bin", "Malignant share of the bin")
    axes.plot([0, 1], [0, 1], color="0.75", linewidth=1, linestyle="--", zorder=1, label="calibrated")
    for place, (colour, (name, (probabilities, malignant))) in enumerate(zip(COLOURS, curves.items(), strict=False)):
        _reliability(axes, name, reliability(probabilities, malignant), colour, offset=0.003 * place)
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def _roc(axes: Axes, name: str, cases: Cases, colour: str) -> None:
    scores, labels = [each for each, _ in cases], [each for _, each in cases]
    resamples = Resamples.of(draw_seeds(len(cases), resamples=BAND_RESAMPLES), labels)
    whole = Resamples.whole(labels)
    band = []
    for specificity in 1 - GRID:
        figure = partial(weighted_sensitivity, specificity=specificity)
        band.append(over_seeds(float(whole.figures(figure, scores)[0]), resamples.figures(figure, scores), len(cases)).estimate.clipped())
    area = float(whole.figures(weighted_roc_auc, scores)[0])
    axes.fill_between(GRID, [each.low for each in band], [each.high for each in band], color=colour, alpha=0.15, linewidth=0)
    axes.step(GRID, [each.value for each in band], where="post", color=colour, linewidth=1.8, label=f"{name} ({area:.3f})")


def _reliability(axes: Axes, name: str, bins: Sequence[Bin], colour: str, offset: float) -> None:
    expected = np.array([each.expected for each in bins]) + offset
    observed = np.array([each.observed.value for each in bins])
    reach = np.array([[each.observed.value - each.observed.low, each.observed.high - each.observed.value] for each in bins]).T
    axes.errorbar(expected, observed, yerr=reach, color=colour, marker="o", markersize=4, linewidth=1.4, elinewidth=0.8, label=name)


def _square(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, 5.6), layout="constrained")
    axes = figure.add_subplot(aspect="equal", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=across, ylabel=up)
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
