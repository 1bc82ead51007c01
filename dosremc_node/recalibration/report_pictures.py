"""The pictures of a proposal's report: scores before and after, whether probabilities mean what they say, ROC curves."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dosremc_node.evaluation import Labels, Values, calibrated_logits, reliability, roc_auc, sigmoid
from dosremc_node.recalibration.comparison import HeldOut
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import OperatingPoint

BEFORE, AFTER = "#0072B2", "#D55E00"
"""Of Okabe and Ito's colours, which the colour-blind tell apart."""
SMALLEST_CLASS = 2
"""Images of either kind below which neither reliability nor ROC can be drawn."""

_Sides = Mapping[str, tuple[str, Scores, OperatingPoint]]


def pictures_of(part: HeldOut) -> dict[str, bytes]:
    """PNG by what it shows; reliability and ROC only where the labels allow it."""
    sides = {
        "in force": (BEFORE, part.champion, part.champion_point),
        "proposed": (AFTER, part.challenger, part.challenger_point),
    }
    drawn = {"Scores of the images": _histograms(sides)}
    labelled = part.champion.labelled()
    if min(int(labelled.malignant.sum()), int((~labelled.malignant).sum())) >= SMALLEST_CLASS:
        drawn |= {"Reliability": _reliability(sides), "ROC, by exam": _roc(sides)}
    return drawn


def _histograms(sides: _Sides) -> bytes:
    figure, axes = _square()
    found = {name: calibrated_logits(scores.logits, point) for name, (_, scores, point) in sides.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(found.values())), bins=40).tolist()
    for name, (colour, _, point) in sides.items():
        axes.hist(found[name], edges, histtype="stepfilled", alpha=0.25, color=colour)
        axes.hist(found[name], edges, histtype="step", linewidth=1.6, color=colour, label=name)
        axes.axvline(float(np.log(point.threshold / (1 - point.threshold))), color=colour, linestyle="--", linewidth=1.2)
    return _png(figure, axes, "calibrated logit (dashed: threshold)", "images")


def _reliability(sides: _Sides) -> bytes:
    figure, axes = _square()
    highest = 0.0
    for name, (colour, scores, point) in sides.items():
        labelled = scores.labelled()
        bins = reliability(sigmoid(calibrated_logits(labelled.logits, point)), labelled.malignant)
        seen = np.array([each.observed.value for each in bins])
        errors = np.clip([seen - [each.observed.low for each in bins], [each.observed.high for each in bins] - seen], 0, None)
        axes.errorbar([each.expected for each in bins], seen, errors, color=colour, marker="o", markersize=4, linewidth=1.4, label=name)
        highest = max(highest, *(max(each.expected, each.observed.high) for each in bins))
    axes.plot([0, highest], [0, highest], color="0.6", linewidth=1, linestyle=":", zorder=0)
    return _png(figure, axes, "mean probability of a tenth of the images", "malignant share")


def _roc(sides: _Sides) -> bytes:
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":", zorder=0)
    for name, (colour, scores, point) in sides.items():
        highest, malignant = by_exam(scores, point)
        order = np.argsort(-highest, kind="stable")
        ends = np.flatnonzero(np.diff(highest[order], append=-np.inf))
        found, alarms = (np.cumsum(kind[order])[ends] / kind.sum() for kind in (malignant, ~malignant))
        axes.plot([0, *alarms], [0, *found], color=colour, linewidth=1.6, label=f"{name} ({roc_auc(highest, malignant):.3f})")
    return _png(figure, axes, "1 - specificity", "sensitivity")


def by_exam(scores: Scores, point: OperatingPoint) -> tuple[Values, Labels]:
    """Of each exam with a label: its highest calibrated logit, and whether it has a malignancy."""
    labelled = scores.labelled()
    highest = np.full(len(labelled), -np.inf)
    np.maximum.at(highest, labelled.exams, calibrated_logits(labelled.logits, point))
    return highest, np.bincount(labelled.exams, labelled.malignant, minlength=len(labelled)) > 0


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.2, 3.8), layout="constrained")
    return figure, figure.subplots()


def _png(figure: Figure, axes: Axes, across: str, up: str) -> bytes:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()
