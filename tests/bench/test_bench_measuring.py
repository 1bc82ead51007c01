"""A bench's ratio says what it is said to say: above 1 is better, and the order of measuring favours neither."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.measuring import Result, faster, in_turn, more


def test_above_one_is_better() -> None:
    """Half of the peer's time, and twice its rate, are both a ratio of 2; median, lowest and highest are those of the pairs."""
    times, rates = [(1.0, 2.0), (1.0, 3.0), (2.0, 2.0)], [(4.0, 2.0), (9.0, 3.0), (1.0, 1.0)]
    for comparison in (faster(times, "a peer"), more(rates, "a peer")):
        assert (comparison.ratio, comparison.low, comparison.high, comparison.pairs) == (2.0, 1.0, 3.0, 3)


def test_each_goes_first_in_turn() -> None:
    """The order alternates, and each pair still has ours first."""
    calls: list[str] = []
    pairs = in_turn(lambda: calls.append("ours") or 1.0, lambda: calls.append("theirs") or 2.0, 3)
    assert calls == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert pairs == [(1.0, 2.0)] * 3


@pytest.mark.parametrize("compared", [True, False])
def test_what_is_written(tmp_path: Path, compared: bool) -> None:
    """A comparison adds what it was made against, its ratio with low and high, and how many pairs there were; nothing else does."""
    Result("a.bench", 1.23456, "ms", faster([(1.0, 2.0)], "a peer") if compared else None, {"over_ms": 0.5}).write(tmp_path)
    content = json.loads((tmp_path / "a.bench.json").read_text())
    expected = {"name": "a.bench", "figure": 1.235, "unit": "ms", "over_ms": 0.5}
    assert content == expected | ({"against": "a peer", "ratio": 2.0, "low": 2.0, "high": 2.0, "pairs": 1} if compared else {})
