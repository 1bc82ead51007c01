"""What every bench gives, and how two things are compared."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import typer

Pairs = Sequence[tuple[float, float]]
"""Ours and the peer's, as they were measured one after the other."""


@dataclass(frozen=True)
class Scope:
    """Where a bench finds its images, where it may work, and whether it is only to be tried."""

    data: Path
    work: Path
    quick: bool

    def times(self, number: int) -> int:
        """How often, or how many: ``number``, or as few as possible where it is only tried."""
        return 1 if self.quick else number


@dataclass(frozen=True)
class Comparison:
    """How much better than a peer: the median of the pairs' ratios, the lowest and the highest."""

    against: str
    ratio: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True)
class Result:
    """One figure. ``further`` are figures that belong to it."""

    name: str
    figure: float
    unit: str
    comparison: Comparison | None = None
    further: Mapping[str, float] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """As ``NAME.json``."""
        compared = vars(self.comparison) if self.comparison else {}
        content = {"name": self.name, "figure": self.figure, "unit": self.unit, **compared, **self.further}
        rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in content.items()}
        (folder / f"{self.name}.json").write_text(json.dumps(rounded, indent=1) + "\n")

    def line(self) -> str:
        """For people."""
        text = f"{self.name:<28} {_short(self.figure):>9} {self.unit}"
        if each := self.comparison:
            text += f"; {each.ratio:.2f} ({each.low:.2f} to {each.high:.2f}, {each.pairs} pairs) against {each.against}"
        return text + "".join(f"; {key} {_short(value)}" for key, value in self.further.items())


def _short(value: float) -> str:
    """One decimal, or three digits of what is small."""
    return f"{value:.1f}" if abs(value) >= 10 or value == 0 else f"{value:.3g}"


def say(text: str) -> None:
    """What is not measured, and why."""
    typer.echo(text)


def milliseconds(function: Callable[[], object]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    function()
    return (time.perf_counter() - started) * 1000


def in_turn(ours: Callable[[], float], theirs: Callable[[], float], pairs: int) -> Pairs:
    """Measure both, ``pairs`` times; which goes first alternates, so that a machine that gets slower favours neither."""
    measured = []
    for number in range(pairs):
        if number % 2:
            peer = theirs()
            measured.append((ours(), peer))
        else:
            own = ours()
            measured.append((own, theirs()))
    return measured


def faster(pairs: Pairs, against: str) -> Comparison:
    """The comparison of two durations."""
    return _comparison([theirs / ours for ours, theirs in pairs], against)


def more(pairs: Pairs, against: str) -> Comparison:
    """The comparison of two rates."""
    return _comparison([ours / theirs for ours, theirs in pairs], against)


def _comparison(ratios: Sequence[float], against: str) -> Comparison:
    return Comparison(against, median(ratios), min(ratios), max(ratios), len(ratios))
