"""What the rules of recalibration do on real scores: a false alarm's distance, what an alignment gives back, harm and use of the gate.

The scores are image-level scores of one network (Roschewitz et al., Nature Communications 2023) on vendor A, on the same women after a
software update, and on vendor B. They have no dates: what is "later" is drawn. Every split is by woman, across both files of vendor A.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from harness.scores import operating_point, real_scores, sample, women
from numpy.typing import NDArray
from scipy.stats import beta

from bench.measuring import Result, Scope, say
from dosremc_node.drift import ExamScores, Reference, Watch
from dosremc_node.evaluation import calibrated, platt
from dosremc_node.recalibration import (
    ChangePlan,
    Scores,
    align,
    calibrate,
    expected_over_observed,
    flagged_share,
    judge_calibration,
    weighted,
)
from dosremc_node.recalibration.comparison import log_losses
from dosremc_node.records import OperatingPoint

REFERENCE = 1000
RESAMPLES = 500
WATCHES = 100
"""Charts cost seconds each: five runs are held against each."""
HORIZON = 30_000
"""Exams: how long an undisturbed run is followed; one that lasts longer counts as so many, so that the mean is too small rather than too large."""
MOST_EVENTS = 80
"""Of the 115 or so outside the reference: the others judge."""
WORSE = 0.002
"""Log loss per image from which on a change counts as harm."""
FOLDER = Path(os.environ.get("DOSREMC_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "upa-scores"

Values = NDArray[np.float64]


def run(scope: Scope) -> Iterator[Result]:
    """`recalibration.*`: see the module; shares in per cent, each with the figures that belong to it."""
    if not FOLDER.is_dir():
        say("recalibration: the score tables are not there (set DOSREMC_TEST_DATA)")
        return
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:

        def each(one: Callable[[int], Sequence[float]], times: int = RESAMPLES) -> Values:
            return np.array(list(pool.map(one, range(scope.times(times)), chunksize=5)))

        yield from _alarms(each(_runs, WATCHES))
        for name in ("A_after_update", "B"):
            yield _alignment(name, each(partial(_aligned, name)))
        for name, events in (("A", 10), ("A", 50), ("A", MOST_EVENTS), ("A_after_update", 50), ("B", 10), ("B", 50)):
            yield _gate(f"recalibration.gate.{name}.{events}", each(partial(_judged, name, events)))
        yield _verification(each(_verified))


@lru_cache
def _table(name: str) -> Scores:
    return real_scores(FOLDER, name)


# --- Alarm ------------------------------------------------------------------------------------------------------------


def _alarms(found: Values) -> Iterator[Result]:
    quiet, update, subtle = (found[:, :, column].ravel() for column in range(3))
    spread = {"standard_deviation": float(quiet.std()), "cut_short": float((quiet >= HORIZON).mean()), "runs": float(len(quiet))}
    yield Result("recalibration.alarm.quiet", float(quiet.mean()), "exams to a false alarm", further=spread)
    for name, delays in (("update", update), ("subtle", subtle)):
        spread = {"mean": float(delays.mean()), "upper_quartile": float(np.quantile(delays, 0.75)), "runs": float(len(delays))}
        yield Result(f"recalibration.alarm.{name}", float(np.median(delays)), "exams to the alarm", further=spread)


def _runs(seed: int) -> list[tuple[int, int, int]]:
    """Five times the exams until an alarm: undisturbed, after the update, and where the flagged fraction goes from .18 to .24."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(_table("A")))
    reference, others = women(_table("A"), order[:REFERENCE]), women(_table("A"), order[REFERENCE:])
    point, updated = operating_point(reference), women(_table("A_after_update"), order[REFERENCE:])
    watch = Watch.over(Reference(reference.exam_scores(point)), seed=seed)
    streams = (others, point), (updated, point), _subtly_shifted(others)
    return [(*(_lasted(watch, scores.exam_scores(at), random) for scores, at in streams),) for _ in range(RESAMPLES // WATCHES)]  # type: ignore[misc]


def _subtly_shifted(scores: Scores) -> tuple[Scores, OperatingPoint]:
    """Logits so much higher that .24 of the exams are flagged at a threshold at which .18 were."""
    highest = np.full(len(scores), -np.inf)
    np.maximum.at(highest, scores.exams, scores.logits)
    before, after = np.quantile(highest, [1 - 0.18, 1 - 0.24])
    return replace(scores, logits=scores.logits + (before - after)), OperatingPoint(OperatingPoint(0.5).probability(before))


def _lasted(watch: Watch, pool: ExamScores, random: np.random.Generator) -> int:
    """Exams are drawn with replacement from ``pool``."""
    alarm = watch.alarm(pool[random.integers(len(pool), size=HORIZON)])
    return HORIZON if alarm is None else alarm.exam + 1


# --- Alignment --------------------------------------------------------------------------------------------------------


def _alignment(name: str, found: Values) -> Result:
    before, after = found.T
    further = {
        "standard_deviation": float(after.std()),
        "before": float(before.mean()),
        "within_.03_of_.82": float((np.abs(after - 0.82) <= 0.03).mean()),
        "resamples": float(len(after)),
    }
    return Result(f"recalibration.alignment.{name}", float(after.mean()), "specificity (of .82)", further=further)


def _aligned(name: str, seed: int) -> tuple[float, float]:
    """The specificity of images on women whom nobody has used, before and after an alignment with 250 exams."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(_table("A")))
    reference = women(_table("A"), order[:REFERENCE])
    there = order[REFERENCE:] if name == "A_after_update" else random.permutation(len(_table(name)))
    live, later = women(_table(name), there[:250]), women(_table(name), there[250:])
    point = operating_point(reference)
    return _specificity(later, point), _specificity(later, align(point, reference, live))


def _specificity(scores: Scores, point: OperatingPoint) -> float:
    return float((calibrated(scores.logits, point)[~scores.malignant] < point.threshold).mean())


# --- The gate ---------------------------------------------------------------------------------------------------------


def _gate(name: str, found: Values) -> Result:
    """``upper``: the exact 95 % upper limit of the promoted share (Clopper and Pearson 1934)."""
    promoted, change, platts = found[:, 0] == 1, found[:, 1], found[:, 2]
    times = int(promoted.sum())
    further = {
        "upper": 100.0 if times == len(found) else 100 * float(beta.ppf(0.95, times + 1, len(found) - times)),
        "promoted_worse": 100 * float((change[promoted] > WORSE).mean()) if times else 0.0,
        "change_of_promoted": float(change[promoted].mean()) if times else 0.0,
        "platt_worse": 100 * float((platts > WORSE).mean()),
        "change_of_platt": float(platts.mean()),
        "resamples": float(len(found)),
    }
    return Result(name, 100 * times / len(found), "% promoted", further=further)


def _judged(name: str, events: int, seed: int) -> tuple[float, float, float]:
    """One look: whether it promotes, and what the log loss on a third, disjoint set then does; and what plain Platt scaling does there."""
    random, plan = np.random.default_rng(seed), ChangePlan.model_validate({"looks": {"planned": 1}})
    order = random.permutation(len(_table("A")))
    point = operating_point(women(_table("A"), order[:REFERENCE]))
    source = _table(name) if name == "B" else women(_table(name), order[REFERENCE:])
    fitted = sample(source, events, random)
    judged, third = (women(source, part) for part in np.array_split(random.permutation(np.setdiff1d(np.arange(len(source)), fitted)), 2))
    proposal = calibrate(point, women(source, fitted))
    passed = judge_calibration(plan, point, proposal, judged).passed
    slope, intercept = platt(women(source, fitted).logits, women(source, fitted).malignant)
    now = log_losses(third, point).mean()
    platts = log_losses(third, replace(point, slope=slope, intercept=intercept)).mean() - now
    return float(passed), float(log_losses(third, proposal.point).mean() - now), float(platts)


# --- Verification bias ------------------------------------------------------------------------------------------------


def _verification(found: Values) -> Result:
    value, low, high, recalled = found.T
    further = {
        "standard_deviation": float(value.std()),
        "covered": 100 * float(((low <= 1) & (high >= 1)).mean()),
        "recalled": 100 * float(recalled.mean()),
        "resamples": float(len(found)),
    }
    return Result("recalibration.verification", float(value.mean()), "expected/observed", further=further)


def _verified(seed: int) -> tuple[float, float, float, float]:
    """Labels for the recalled and for one in ten of the others: the estimate and its interval, on as many women as the table has.

    The point is fitted to all of the table and the women are drawn from it with replacement, so that what is to be found is 1.
    """
    random, everybody = np.random.default_rng(seed), _table("A")
    point = operating_point(everybody, 0.95)
    seen = _drawn(everybody, random.integers(len(everybody), size=len(everybody)))
    recalled = np.zeros(len(seen), bool)
    recalled[np.unique(seen.exams[calibrated(seen.logits, point) >= point.threshold])] = True
    known = recalled | (random.random(len(seen)) < 0.1)
    scores = replace(seen, known=known[seen.exams])
    estimate = expected_over_observed(weighted(scores, recalled[seen.exams], 0.1)[0], point)
    return estimate.value, estimate.low, estimate.high, flagged_share(seen, point)


def _drawn(scores: Scores, chosen: NDArray[np.intp]) -> Scores:
    """These exams, some of them more than once."""
    first = np.searchsorted(scores.exams, np.arange(len(scores) + 1))
    images = np.concatenate([np.arange(first[exam], first[exam + 1]) for exam in chosen])
    again = np.repeat(np.arange(len(chosen)), np.diff(first)[chosen])
    return Scores(again, *(values[images] for values in (scores.logits, scores.malignant, scores.known, scores.dates, scores.weights)))
