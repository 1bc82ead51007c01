"""A proposal in its shadow: it scores the exams that come, beside what is in force, and nobody is shown what it says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from dosremc_node.errors import BankUnreadable, NoSuchRelease, ProposalDamaged, ReleaseDamaged, ReleaseUnreadable
from dosremc_node.evaluation import calibrated
from dosremc_node.ledger.audit import NODE
from dosremc_node.ledger.exams import AssessedExam, assessed_exams
from dosremc_node.ledger.looks import scanner_keys_of
from dosremc_node.ledger.proposals import Proposal, end_proposal, list_proposals
from dosremc_node.ledger.shadows import ShadowExam, assessed_since, keep_shadow_exams, shadow_exams
from dosremc_node.ledger.states import ProposalState
from dosremc_node.network.banks import put_bank
from dosremc_node.network.export import import_backbone
from dosremc_node.recalibration.bounds import Change
from dosremc_node.recalibration.change_plan import ChangePlan
from dosremc_node.recalibration.cohort import Cohort, cohort_of
from dosremc_node.recalibration.gate import EXPECTED_SHARE, Decision
from dosremc_node.recalibration.live_images import Read, rescored, with_images
from dosremc_node.recalibration.proposal_folder import KeptProposal, read_proposal
from dosremc_node.recalibration.proposing import Site


def score_in_shadow(site: Site, read: Read, now: datetime) -> int:
    """Have every proposal in shadow score the exams that it lacks, as far as their images are still there; answers how many it scored.

    One that flags too many or too few of them is refused, and one whose files were changed.
    """
    scored = 0
    for proposal in list_proposals(site.ledger, (ProposalState.SHADOW,)):
        kept = _kept(site, proposal, now)
        if kept is None:
            continue
        answers = _answers(kept.change, _to_score(site, proposal, kept.change), read)
        keep_shadow_exams(site.ledger, proposal.proposal_id, answers, now)
        scored += len(answers)
        if why := outside_band(site.plan, kept.decision, shadow_exams(site.ledger, proposal.proposal_id)):
            end_proposal(site.ledger, proposal.proposal_id, ProposalState.REFUSED, actor=NODE, reason=why, now=now)
    return scored


def _kept(site: Site, proposal: Proposal, now: datetime) -> KeptProposal | None:
    try:
        return read_proposal(site.folder, proposal, site.shelf.load(proposal.parent_release))
    except (BankUnreadable, NoSuchRelease, ProposalDamaged, ReleaseDamaged, ReleaseUnreadable) as error:
        end_proposal(site.ledger, proposal.proposal_id, ProposalState.REFUSED, actor=NODE, reason=str(error), now=now)
        return None


def outside_band(plan: ChangePlan, decision: Decision, exams: Sequence[ShadowExam]) -> str:
    """In words, by how much a proposal misses the share of exams that it is to flag; empty where it does not, or it is too early to say."""
    expected = decision.numbers.get(EXPECTED_SHARE)
    if expected is None or not exams or len(exams) < min(plan.guard.exams, plan.guard.shadow_exams):
        return ""
    return missed(plan, expected, [each.challenger_positive for each in exams], "in the shadow")


def missed(plan: ChangePlan, expected: float, flagged: Sequence[bool], where: str) -> str:
    """The same for any exams."""
    share, band = float(np.mean(flagged)), plan.guard.recall_band
    if abs(share - expected) <= band:
        return ""
    return f"guard band: {share:.1%} of {len(flagged)} exams flagged {where}, {expected:.1%} +- {band:.1%} expected"


def is_flagged(exam: AssessedExam) -> bool:
    """As the gate counts: an image at or above the threshold."""
    return any(image.positive for image in exam.images)


def _to_score(site: Site, proposal: Proposal, change: Change) -> list[AssessedExam]:
    """Exams that came since, of the scanners that it is for, and that it has said nothing of; no more than it needs."""
    known = shadow_exams(site.ledger, proposal.proposal_id)
    seen = {each.study_id for each in known}
    keys = {change.scanner_key} if change.scanner_key else scanner_keys_of(site.ledger, proposal.look_id)
    came = assessed_since(site.ledger, proposal.shadow_since or proposal.proposed_at) - seen
    exams = assessed_exams(site.ledger, domain=change.scored_with) if came else []
    mine = [exam for exam in exams if exam.study_id in came and (not keys or exam.scanner_key in keys)]
    in_force = [exam for exam in mine if exam.release_id == proposal.parent_release]
    return in_force[: max(site.plan.guard.shadow_exams - len(known), 0)]


def _answers(change: Change, exams: Sequence[AssessedExam], read: Read) -> list[ShadowExam]:
    cohort = _rescored(change, cohort_of(exams, {}, {exam.study_id: number for number, exam in enumerate(exams)}), read)
    images = iter(cohort.scores.logits)
    found = []
    for exam in cohort.exams:
        point = change.challenger(exam.scanner_key)
        probabilities = calibrated(np.array([next(images) for _ in exam.images]), point)
        found.append(ShadowExam(exam.study_id, is_flagged(exam), bool((probabilities >= point.threshold).any())))
    return found


def _rescored(change: Change, cohort: Cohort, read: Read) -> Cohort:
    """With the logits of the proposed bank, where it has one."""
    if change.bank is None or not len(cohort):
        return cohort
    there = with_images(cohort, read)
    network = import_backbone(change.parent.backbone())
    put_bank(network, change.bank, change.domain)
    return rescored(there, network, read)
