"""Pictures of a scanner: its scores over time, its charts, and its layers against the bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dosremc_node.drift.reference import ExamScores, Values
from dosremc_node.drift.scanner import QUANTILES, KeyReport, Scanner, charted_exams, signal_of
from dosremc_node.ledger.drift import AlarmKind

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which the colour-blind tell apart."""
GREY = "0.6"
BLOCK = 100
"""Exams that one point of a curve stands for."""


def draw_scores(path: Path, scanner: Scanner) -> None:
    """Quantiles of the scores and the share of flagged exams, block by block, beside those of the reference; as a PNG."""
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    days = np.array([exam.taken_on for exam in scanner.exams], "datetime64[D]")
    scores = scanner.period_of(scanner.exams).scores
    blocks = [np.arange(first, min(first + BLOCK, len(days))) for first in range(0, len(days), BLOCK)]
    middles = np.array([days[block[len(block) // 2]] for block in blocks])
    _quantiles(above, middles, [scores.logits[block] for block in blocks])
    _flagged(below, middles, [scores.flagged[block] for block in blocks])
    if scanner.reference is not None and scanner.kept is not None:
        _reference_lines(above, below, scanner.reference.scores)
        for axes in (above, below):
            axes.axvspan(np.datetime64(scanner.kept.first_taken_on), np.datetime64(scanner.kept.last_taken_on), color="0.93", zorder=0)
    _named(above, f"{scanner.serving.scanner_key}\nscores of {BLOCK} exams each (grey: the reference)", "Mean logit of an exam")
    _named(below, "", "Share flagged")
    _legend(above)
    figure.savefig(path, dpi=130)


def _quantiles(axes: Axes, days: NDArray[np.datetime64], blocks: Sequence[Values]) -> None:
    for colour, share in zip(COLOURS, QUANTILES, strict=False):
        axes.plot(days, [np.quantile(block, share) for block in blocks], color=colour, marker="o", markersize=3, label=f"{share:.0%}")


def _flagged(axes: Axes, days: NDArray[np.datetime64], blocks: Sequence[Values]) -> None:
    shares = np.array([block.mean() for block in blocks])
    # Wilson's score interval.
    size, z = np.array([len(block) for block in blocks]), 1.96
    middle, half = (shares + z**2 / (2 * size)) / (1 + z**2 / size), z * np.sqrt(shares * (1 - shares) / size + z**2 / (4 * size**2))
    half = half / (1 + z**2 / size)
    axes.vlines(days, middle - half, middle + half, color=COLOURS[0], linewidth=1)
    axes.plot(days, shares, color=COLOURS[0], marker="o", markersize=3)
    axes.set_ylim(bottom=0)


def _reference_lines(above: Axes, below: Axes, scores: ExamScores) -> None:
    for share in QUANTILES:
        above.axhline(float(np.quantile(scores.logits, share)), color=GREY, linewidth=0.8, linestyle="--", zorder=1)
    below.axhline(float(scores.flagged.mean()), color=GREY, linewidth=0.8, linestyle="--", zorder=1)


def draw_charts(path: Path, scanner: Scanner) -> None:
    """Each chart's sum as a part of its limit, exam by exam; where it passes 1 it alarms. As a PNG."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for colour, (kind, chart) in zip(COLOURS, (scanner.frozen.charts if scanner.frozen else {}).items(), strict=False):
        signal = signal_of(scanner, kind)
        if not len(signal):
            continue
        places, reached = _places(scanner, kind), chart.path(signal) / chart.limit
        axes.plot(places, reached, color=colour, linewidth=1.3, drawstyle="steps-post", label=_of(kind))
        if (alarm := chart.alarm(signal)) is not None:
            axes.plot(places[alarm], reached[alarm], color=colour, marker="v", markersize=9, linestyle="")
    axes.axhline(1, color="0.3", linewidth=1, linestyle="--")
    axes.set_ylim(0, max(1.3, min(4.0, axes.get_ylim()[1])))
    axes.set_xlabel("Exams since the reference")
    _named(axes, f"{scanner.serving.scanner_key}\nCUSUM, by its limit (triangle: the alarm)", "Sum / limit")
    if axes.get_lines()[1:]:
        _legend(axes)
    figure.savefig(path, dpi=130)


def _of(kind: AlarmKind) -> str:
    return {AlarmKind.LOGIT: "scores", AlarmKind.FLAGGED: "flagged exams", AlarmKind.MOMENTS: "measured images"}.get(kind, kind)


def _places(scanner: Scanner, kind: AlarmKind) -> NDArray[np.intp]:
    """Where on the axis of exams each value of a chart stands."""
    charted = charted_exams(scanner, kind)
    first = len(scanner.live) - len(charted)
    if kind is not AlarmKind.MOMENTS:
        return np.arange(len(charted)) + first
    place_of = {exam.study_id: place + first for place, exam in enumerate(charted)}
    return np.array([place_of[study] for study in scanner.book.studies_among(place_of)], np.intp)


def draw_layers(path: Path, found: KeyReport) -> None:
    """How far the latest measured images lie from the bank, layer by layer, and from the reference's images. As a PNG."""
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    layers, places = list(found.layers), np.arange(len(found.layers))
    above.bar(places - 0.2, [found.layers[layer].shift for layer in layers], 0.4, color=COLOURS[0], label="mean")
    above.bar(places + 0.2, [found.layers[layer].spread for layer in layers], 0.4, color=COLOURS[1], label="logarithm of the spread")
    below.bar(places, [found.layer_scores.get(layer, 0.0) for layer in layers], 0.6, color=COLOURS[2])
    for limit in (-3, 3):
        below.axhline(limit, color="0.3", linewidth=1, linestyle="--")
    below.set_xticks(places, layers, rotation=60, ha="right", fontsize=8)
    _named(above, f"{found.scanner_key}\nmeasured images against the bank {found.domain}", "Distance / bank's\nstandard deviation")
    _named(below, "" if found.layer_scores else "no measured images in the reference", "Standard errors from\nthe reference")
    _legend(above)
    figure.savefig(path, dpi=130)


def draw_mix(path: Path, found: KeyReport, ages: Mapping[str, Values]) -> None:
    """Ages by period, views, and why images were not assessed. As a PNG."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for colour, (name, known) in zip(COLOURS, ages.items(), strict=False):
        left.hist(known, bins=np.arange(30, 95, 5), density=True, histtype="step", color=colour, label=name)
    left.legend(frameon=False, fontsize=8)
    _bars(middle, found.views)
    _bars(right, {reason.split(":")[0].rstrip("."): share for reason, share in found.left_out.items()})
    _named(left, f"{found.scanner_key}\nages", "Density")
    _named(middle, "views", "")
    _named(right, "not assessed", "")
    figure.savefig(path, dpi=130)


def _bars(axes: Axes, shares: Mapping[str, float]) -> None:
    if not shares:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    axes.barh(list(shares), list(shares.values()), color=COLOURS[0])
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("Share of images")


def _legend(axes: Axes) -> None:
    """Above the picture, beside its title."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(QUANTILES), frameon=False, fontsize=8)


def _named(axes: Axes, title: str, up: str) -> None:
    axes.set_title(title, fontsize=9, loc="left", parse_math=False)
    axes.set_ylabel(up)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
