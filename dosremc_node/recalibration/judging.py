"""From a generator's candidate to a proposal: the look is paid for, the gate answers, and what it said is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from dosremc_node.errors import ExamsJudgedBefore, LooksSpent
from dosremc_node.ledger.looks import Family, Look, take_look
from dosremc_node.ledger.proposals import Proposal, find_of_window
from dosremc_node.recalibration.bank_gate import judge_bank, judge_onboarding
from dosremc_node.recalibration.bounds import Change
from dosremc_node.recalibration.candidates import Candidate, Situation
from dosremc_node.recalibration.change_plan import ChangeKind, ChangePlan
from dosremc_node.recalibration.comparison import HeldOut, flagged_share
from dosremc_node.recalibration.gate import Decision, judge_alignment, judge_calibration
from dosremc_node.recalibration.proposing import Evidence, Site, propose


def put_forward(site: Site, situation: Situation, candidate: Candidate, *, window: str, proposer: str, now: datetime) -> Proposal:
    """Have the gate judge a candidate and keep it with its report. Asked again for a window, it answers with what became of it.

    A look that cannot be paid for, or whose exams have judged before, is no look: the proposal is refused for that.
    """
    known = find_of_window(site.ledger, candidate.kind, candidate.domain, candidate.scanner_key, window)
    if known is not None:
        return known
    change, held_out = change_of(situation, candidate), held_out_of(situation, candidate)
    look = None
    try:
        look = _look(site, change, candidate, window, now)
        decision = judge(situation, candidate, change, held_out, look.alpha)
    except (LooksSpent, ExamsJudgedBefore) as refusal:
        decision, held_out = Decision(change.kind, passed=False, rule=str(refusal)), {}
    evidence = Evidence(held_out, candidate.numbers)
    return propose(site, change, decision, evidence, window=window, look=look, proposer=proposer, now=now)


def change_of(situation: Situation, candidate: Candidate) -> Change:
    """What the candidate would make of the release in force."""
    return Change(
        kind=candidate.kind,
        domain=candidate.domain,
        scanner_key=candidate.scanner_key,
        parent=situation.parent,
        operating_points=candidate.operating_points,
        bank=candidate.bank,
        scored_with=situation.scored_with,
    )


def held_out_of(situation: Situation, candidate: Candidate) -> dict[str, HeldOut]:
    """The exams that judge a candidate, by scanner key, as what is in force and as the candidate scores them."""
    found = {}
    for key in sorted({exam.scanner_key for exam in candidate.judged.exams}):
        found[key] = HeldOut(
            candidate.judged.of_key(key).scores,
            candidate.rescored.of_key(key).scores,
            situation.point_of(key),
            candidate.point_of(key, situation),
        )
    return found


def judge(situation: Situation, candidate: Candidate, change: Change, held_out: Mapping[str, HeldOut], alpha: float) -> Decision:
    """What the gate says of a candidate, by the rules for its kind."""
    plan = situation.plan
    reference = flagged_share(situation.reference, situation.reference_point) if len(situation.reference) else 0.0
    if candidate.kind is ChangeKind.CALIBRATION and candidate.calibration is not None:
        decision = judge_calibration(plan, situation.point_of(candidate.scanner_key), candidate.calibration, candidate.judged.scores)
        return _within_band(plan, decision, held_out, reference) if len(situation.reference) else decision
    if candidate.kind is ChangeKind.ALIGNMENT:
        champion, challenger = situation.point_of(candidate.scanner_key), candidate.point_of(candidate.scanner_key, situation)
        return judge_alignment(plan, champion, challenger, reference, candidate.judged.scores)
    if candidate.kind is ChangeKind.STATISTICS:
        if change.is_on_loan and candidate.judged.scores.events < plan.statistics.judged_events:
            return judge_onboarding(plan, change, held_out, reference)
        return judge_bank(plan, change, held_out, alpha, target=reference)
    return judge_bank(plan, change, held_out, alpha)


def _within_band(plan: ChangePlan, decision: Decision, held_out: Mapping[str, HeldOut], reference: float) -> Decision:
    """A calibration moves the share of flagged exams too: it may come nearer to the reference's, or stay in its band."""
    for key, part in held_out.items():
        before, after = part.champion_share, part.challenger_share
        numbers = decision.numbers | {"target": reference, "flagged_before": before, "flagged_after": after}
        decision = replace(decision, numbers=numbers)
        if decision.passed and plan.guard.recall_band < abs(after - reference) >= abs(before - reference):
            decision = replace(decision, passed=False, rule=f"the share of flagged exams leaves the band on {key}")
    return decision


def _look(site: Site, change: Change, candidate: Candidate, window: str, now: datetime) -> Look:
    """Scores without labels are judged by a band, which errs by no chance that could be spent."""
    looks = site.plan.looks
    unlabelled = change.kind is ChangeKind.ALIGNMENT or (change.kind is ChangeKind.STATISTICS and change.is_on_loan)
    return take_look(
        site.ledger,
        Family(change.kind, change.domain, change.scanner_key),
        window,
        fitted=[exam.study_id for exam in candidate.fitted.exams],
        judged=[exam.study_id for exam in candidate.judged.exams],
        judged_until=max(exam.taken_on for exam in candidate.judged.exams),
        alpha=0.0 if unlabelled else looks.alpha_of_one,
        budget=looks.alpha,
        since=looks.since,
        now=now,
    )
