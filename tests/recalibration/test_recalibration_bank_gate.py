"""The gate for banks: what it lets pass, what it refuses and why, and that its figures are those of others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from harness.exams import DOMAIN
from harness.proposals import held_out, site, tuned

from dosremc_node.evaluation import compare_roc_auc
from dosremc_node.recalibration.bank_gate import judge_bank, judge_onboarding
from dosremc_node.recalibration.bounds import Change, outside
from dosremc_node.recalibration.change_plan import ChangeKind, ChangePlan
from dosremc_node.recalibration.comparison import HeldOut, compare_areas, compare_log_loss
from dosremc_node.recalibration.gate import Decision
from dosremc_node.recalibration.proposing import Site
from dosremc_node.recalibration.report_pictures import by_exam
from dosremc_node.records import Domain

ALPHA = 0.05 / 24
PLAN = ChangePlan.model_validate({"non_inferiority": {"log_loss_margin": 0.02, "auc_margin": 0.05}, "guard": {"recall_band": 0.2}})


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def change(here: Site) -> Change:
    return tuned(here)


def judged(change: Change, plan: ChangePlan = PLAN, **parts: HeldOut) -> Decision:
    return judge_bank(plan, change, parts, ALPHA)


def drawn(seed: int = 0, **facts: float) -> HeldOut:
    return held_out(np.random.default_rng(seed), **facts)  # type: ignore[arg-type]


def test_a_better_bank_passes(change: Change) -> None:
    """Less noise on many later exams is surely better, and the numbers are shown."""
    decision = judged(change, A=drawn(champion=1.5))
    assert decision.passed, decision
    assert decision.numbers["upper_of_better"] < 0 < decision.numbers["auc_difference"]


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({}, "a tie keeps"),
        ({"challenger": 1.5}, "no worse in log loss"),
        ({"events": 20}, "insufficient evidence: refused, too few"),
        ({"events": 1980}, "insufficient evidence: refused, too few"),
    ],
)
def test_what_is_not_surely_better_is_refused_by_name(change: Change, facts: dict[str, float], rule: str) -> None:
    """A tie, a worse bank, too few cancers or too few others: each is refused by its own rule, with the numbers."""
    decision = judged(change, A=drawn(**facts))
    assert not decision.passed
    assert rule in decision.rule
    assert decision.numbers["judged_exams"] == 2000


def test_exams_that_could_not_show_the_margin_are_insufficient_evidence(change: Change) -> None:
    """Where an equal bank would be shown to be so in less than 80 % of cases, even a better one is refused, and the power is told."""
    narrow = ChangePlan.model_validate({"non_inferiority": {"log_loss_margin": 1e-5}})
    decision = judged(change, narrow, A=drawn(champion=1.5))
    assert decision.rule.startswith("insufficient evidence: refused")
    assert decision.numbers["log_loss_power"] < 0.8


def test_worse_on_one_scanner_is_refused_though_better_on_the_domain(change: Change) -> None:
    """Much better on one scanner does not pay for worse on another, whether that one has events enough or few."""
    for events in (200, 30):
        small = drawn(1, exams=10 * events, events=events, challenger=2.0)
        decision = judged(change, A=drawn(champion=2.0, exams=8000, events=800), B=small)
        assert (decision.passed, decision.rule) == (False, "worse on B")


def test_a_bank_that_flags_far_more_is_refused(change: Change) -> None:
    """Better ranking does not excuse a recall outside its band."""
    tight = ChangePlan.model_validate({"non_inferiority": {"log_loss_margin": 0.02, "auc_margin": 0.05}, "guard": {"recall_band": 0.01}})
    decision = judged(change, tight, A=drawn(champion=1.5))
    assert decision.rule == "the share of flagged exams leaves the band on A"


def test_equal_banks_are_hardly_ever_promoted(change: Change) -> None:
    """Of 300 looks at banks that are no better than each other, at most as many pass as the alpha of a look allows, by its upper limit."""
    passed = sum(judged(change, A=drawn(seed, exams=600, events=100, champion=0.5, challenger=0.5)).passed for seed in range(300))
    assert passed <= 3  # 300 * alpha is 0.6


# --- Without outcomes -------------------------------------------------------------------------------------------------


def test_a_new_domain_is_judged_by_what_it_would_flag(here: Site, change: Change) -> None:
    """Near the reference's share it passes, far from it not; a domain with a bank of its own is never judged so."""
    new = Domain("simulated-e")
    point = change.parent.release.operating_points[DOMAIN]
    bank = change.parent.bank(DOMAIN)
    onboarding = Change(ChangeKind.STATISTICS, new, "", change.parent, {new: point}, bank, DOMAIN)
    part = drawn(shift=1.5)
    share = part.challenger_share
    assert judge_onboarding(PLAN, onboarding, {"E": part}, share).passed
    assert judge_onboarding(PLAN, onboarding, {"E": part}, share + 0.3).rule == "the share of flagged exams leaves the band on E"
    own = replace(change, kind=ChangeKind.STATISTICS, bank=change.parent.bank(DOMAIN))
    assert "judged by outcomes" in judge_onboarding(PLAN, own, {"A": part}, share).rule


# --- Bounds -----------------------------------------------------------------------------------------------------------


def test_statistics_may_move_nothing_that_was_learnt(change: Change) -> None:
    """One bit of a learnt parameter makes it another kind of change."""
    bank = change.parent.bank(DOMAIN)
    assert outside(PLAN, replace(change, kind=ChangeKind.STATISTICS, bank=bank))[0] == ""
    bank["fc.bias"] = np.nextafter(bank["fc.bias"], np.float32(9), dtype=np.float32)
    assert "learnt moves too" in outside(PLAN, replace(change, kind=ChangeKind.STATISTICS, bank=bank))[0]


@pytest.mark.parametrize(
    ("name", "by", "rule"),
    [
        (".running_mean", lambda values: values + np.float32(100), "statistics move further"),
        (".running_var", lambda values: values * np.float32(10), "statistics move further"),
        (".running_var", lambda values: -values, "below 0"),
        (".running_mean", lambda values: values * np.float32("nan"), "not finite"),
        (".running_mean", lambda values: values[:-1], "does not fit"),
    ],
)
def test_a_bank_outside_its_bounds_is_named(change: Change, name: str, by: object, rule: str) -> None:
    """Means, variances, values that are no numbers, and shapes of another network."""
    bank = change.parent.bank(DOMAIN)
    entry = min(each for each in bank if each.endswith(name))
    assert callable(by)
    bank[entry] = by(bank[entry])
    assert rule in outside(PLAN, replace(change, kind=ChangeKind.STATISTICS, bank=bank))[0]


# --- Figures ----------------------------------------------------------------------------------------------------------


def test_the_areas_error_is_delongs(change: Change) -> None:
    """With equal weights, difference and error of the areas are those of the unweighted DeLong test."""
    part = drawn(champion=1.0, challenger=0.5)
    found = compare_areas([part])
    (one, malignant), (other, _) = (by_exam(part.challenger, part.challenger_point), by_exam(part.champion, part.champion_point))
    expected = compare_roc_auc(one, other, malignant).estimate
    assert found.difference == pytest.approx(expected.value, abs=1e-12)
    assert 1.959963984540054 * found.error == pytest.approx((expected.high - expected.low) / 2, rel=1e-9)


def test_an_exam_of_weight_two_is_two_exams(change: Change) -> None:
    """Selection weights stand for women who were not verified: the figures are those of as many of them."""
    part = drawn(exams=300, events=60, champion=1.0)
    twice = replace(part.champion, weights=np.where(part.champion.exams < 150, 2.0, 1.0))
    again = np.concatenate([np.flatnonzero(part.champion.exams < 150), np.arange(len(part.champion.logits))])
    weighted = HeldOut(twice, replace(part.challenger, weights=twice.weights), part.champion_point, part.challenger_point)
    repeated = [
        replace(
            scores,
            exams=np.concatenate([scores.exams[scores.exams < 150], scores.exams + 150]),
            **{name: getattr(scores, name)[again] for name in ("logits", "malignant", "known", "dates", "weights")},
        )
        for scores in (part.champion, part.challenger)
    ]
    doubled = HeldOut(*repeated, part.champion_point, part.challenger_point)
    for compare in (compare_areas, compare_log_loss):
        assert compare([weighted]).difference == pytest.approx(compare([doubled]).difference, abs=1e-12)


def test_power_is_the_share_of_equal_banks_that_are_shown_to_be_no_worse(change: Change) -> None:
    """Simulated: of equal challengers with the error that is told, as many pass the margin as the power says."""
    found = compare_log_loss([drawn(champion=0.5, challenger=0.5)])
    margin, random = 2.5 * found.error, np.random.default_rng(1)
    passed = np.mean([replace(found, difference=each).upper(0.05) < margin for each in random.normal(0, found.error, 4000)])
    assert found.power(margin, 0.05) == pytest.approx(passed, abs=0.03)
