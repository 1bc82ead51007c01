"""Charts and distances, against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from dosremc_node.drift import ExamScores, Reference, Watch, chart_for, ks_distance, normal_scores, population_stability_index
from dosremc_node.drift.charts import farthest
from dosremc_node.errors import ReferenceTooSmall


def exams(logits: np.ndarray) -> ExamScores:
    return ExamScores(logits, (logits > 1).astype(np.float64))


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.floats(0, 1))
def test_a_chart_is_the_recursion_of_page(values: list[float], allowance: float) -> None:
    """The sums are those that adding exam by exam, never below zero, gives."""
    up = down = most = 0.0
    expected = []
    for value in values:
        up, down = max(0.0, up + value - allowance), max(0.0, down - value - allowance)
        most = max(most, up, down)
        expected.append(most)
    assert farthest(np.array([values]), allowance)[0] == pytest.approx(expected, abs=1e-9)


def test_a_chart_lasts_as_long_as_it_says() -> None:
    """On exams like the reference's, of which the chart knows only a sample, the mean run is at least the one that was asked for."""
    random, runs = np.random.default_rng(0), []
    for _ in range(20):
        reference = random.standard_normal(1000)
        chart = chart_for(normal_scores, reference, allowance=0.25, run_length=500)
        for _ in range(10):
            alarm = chart.alarm(normal_scores(reference, random.standard_normal(3000)))
            runs.append(3000 if alarm is None else alarm + 1)
    assert np.mean(runs) > 450


def test_a_shift_is_seen_soon_and_either_way() -> None:
    """One standard deviation up or down alarms within thirty exams."""
    random = np.random.default_rng(1)
    watch = Watch.over(Reference(exams(random.standard_normal(1000))), run_length=1000)
    for shift in (-1.0, 1.0):
        alarm = watch.alarm(exams(random.standard_normal(200) + shift))
        assert alarm is not None
        assert alarm.exam < 30


def test_a_small_reference_is_refused() -> None:
    """Drift is not told from a handful of exams."""
    with pytest.raises(ReferenceTooSmall, match="299"):
        Reference(exams(np.zeros(299)))


@given(st.integers(0, 2**31))
def test_the_ks_distance_is_scipys(seed: int) -> None:
    """Distance to the last digits, p value as the asymptotic one."""
    random = np.random.default_rng(seed)
    one, other = random.standard_normal(400), random.standard_normal(300) + random.uniform(0, 0.4)
    gap, p = ks_distance(one, other)
    peer = ks_2samp(one, other, method="asymp")
    assert gap == pytest.approx(peer.statistic)
    assert p == pytest.approx(peer.pvalue, abs=0.03)


def test_the_stability_index_is_zero_for_alike_and_marked_for_apart() -> None:
    """0.25 is passed by what anybody would call a shift, and not by chance."""
    random = np.random.default_rng(2)
    reference = random.standard_normal(2000)
    assert population_stability_index(reference, random.standard_normal(1000)) < 0.05
    assert population_stability_index(reference, random.standard_normal(1000) + 0.7) > 0.25
