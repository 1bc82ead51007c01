"""The bootstrap within seeds: what it resamples, how often its intervals hold the truth; and Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from dosremc_node.evaluation import Labels, Resamples, Values, draw_seeds, holm, over_seeds, roc_auc, weighted_roc_auc
from dosremc_node.evaluation.plots import draw_reliability, draw_roc

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def weighted_mean(scores: Values, _: Labels, weights: NDArray[np.floating]) -> Values:
    return np.asarray((weights * scores).sum(axis=1) / weights.sum(axis=1))


def three_seeds() -> tuple[list[Labels], list[Values]]:
    random = np.random.default_rng(1)
    labels = [np.arange(size) < size // 3 for size in (30, 24, 42)]
    return labels, [random.normal(size=len(each)) + each for each in labels]


def test_each_resample_has_as_many_of_each_kind() -> None:
    """Every resample of a seed has as many malignant and as many other cases as the seed has."""
    labels, _ = three_seeds()
    resamples = Resamples.of(draw_seeds(3, resamples=50), labels)
    for malignant, counts in zip(labels, resamples.counts, strict=True):
        assert (counts[:, malignant].sum(axis=1) == malignant.sum()).all()
        assert (counts[:, ~malignant].sum(axis=1) == (~malignant).sum()).all()


def test_a_resample_is_a_mean_over_the_seeds_it_drew() -> None:
    """With scores that name their seed, a resample's mean is the mean of the names it drew; a seed drawn twice is resampled twice."""
    labels, scores = three_seeds()
    drawn = draw_seeds(3, resamples=50)
    resamples = Resamples.of(drawn, labels)
    names = [np.full(len(each), float(name)) for name, each in enumerate(labels)]
    np.testing.assert_allclose(resamples.figures(weighted_mean, names), drawn.mean(axis=1))
    twice = int(np.flatnonzero((drawn == 0).sum(axis=1) >= 2)[0])
    first = int((drawn[:twice] == 0).sum())
    assert not np.array_equal(*resamples.counts[0][first : first + 2])
    assert np.isfinite(resamples.figures(weighted_roc_auc, scores)).all()


def test_both_views_go_with_their_breast() -> None:
    """Two scores a case, alike within the case, give exactly the figures of one."""
    labels, scores = three_seeds()
    resamples = Resamples.of(draw_seeds(3, resamples=20), labels)
    views = [np.repeat(each, 2) for each in scores]
    np.testing.assert_allclose(resamples.figures(weighted_roc_auc, views), resamples.figures(weighted_roc_auc, scores))


def test_the_whole_is_the_mean_over_seeds() -> None:
    """Without resampling the figure is the mean of the seeds' figures."""
    labels, scores = three_seeds()
    expected = np.mean([roc_auc(*pair) for pair in zip(scores, labels, strict=True)])
    assert Resamples.whole(labels).figures(weighted_roc_auc, scores) == pytest.approx([expected])


@pytest.mark.parametrize(("between_seeds", "between_cases"), [(0.05, 1.0), (0.3, 1.0), (1.0, 0.1)])
def test_intervals_hold_the_truth(between_seeds: float, between_cases: float) -> None:
    """Whether seeds or cases make the spread, about nineteen of twenty intervals over five seeds hold the true mean, or more."""
    random = np.random.default_rng(2)
    labels, drawn = [np.arange(40) < 20] * 5, draw_seeds(5, resamples=200)
    resamples, held, rejected = Resamples.of(drawn, labels), [], []
    for _ in range(400):
        scores = [random.normal(random.normal(0, between_seeds), between_cases, 40) for _ in range(5)]
        found = over_seeds(float(np.mean(scores)), resamples.figures(weighted_mean, scores), seeds=5)
        held.append(found.estimate.low < 0 < found.estimate.high)
        rejected.append(found.p < 0.05)
    assert np.mean(held) > 0.925
    assert np.mean(rejected) == pytest.approx(1 - np.mean(held))


@settings(max_examples=15)
@given(P_VALUES)
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    """Adjusted p values, in the order given."""
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@given(P_VALUES)
def test_holm_keeps_the_order_and_never_helps(p_values: list[float]) -> None:
    """A smaller p value never becomes the larger one, and none becomes smaller."""
    adjusted = holm(p_values)
    assert all(after >= before for before, after in zip(p_values, adjusted, strict=True))
    in_order = [adjusted[index] for index in np.argsort(p_values, kind="stable")]
    assert in_order == sorted(in_order)


def test_no_hypothesis_needs_no_correction() -> None:
    """An empty list stays empty."""
    assert holm([]) == []


def test_pictures_are_drawn(tmp_path) -> None:  # noqa: ANN001
    """Both plots become PNG files of a readable size."""
    labels, scores = three_seeds()
    cases = list(zip(scores, labels, strict=True))
    draw_roc(tmp_path / "roc.png", "From A to B", {"one": cases, "other": [(-values, kinds) for values, kinds in cases]})
    draw_reliability(tmp_path / "reliability.png", "From A to B", {"one": (np.linspace(0, 1, 30), labels[0])})
    for name in ("roc.png", "reliability.png"):
        content = (tmp_path / name).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert int.from_bytes(content[16:20], "big") > 600
