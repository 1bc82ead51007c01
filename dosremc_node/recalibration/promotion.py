"""From an approval to a release in force; the way back is `releases.rollback`.

Nothing that was stored is trusted: digests, bounds, the plan, the parent and the women are asked again. The order makes it safe to be killed
anywhere: first the approval is a row, then the release is a folder, whole or not there, then one transaction puts it in force and
marks the proposal. Whoever comes next goes on with what is approved (`resume`).
"""

from __future__ import annotations

import fcntl
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from dosremc_node.errors import (
    ApproverNotNamed,
    BankUnreadable,
    FiltersMoved,
    IllegalTransition,
    NodeError,
    NoSuchRelease,
    OutsideTheChangePlan,
    ProposalDamaged,
    ProposalStale,
    ReleaseDamaged,
    ReleaseExists,
    ReleaseUnreadable,
    StillInShadow,
    WindowPromotedBefore,
)
from dosremc_node.ledger import audit, proposals
from dosremc_node.ledger.proposals import Proposal
from dosremc_node.ledger.releases import release_in_force
from dosremc_node.ledger.shadows import shadow_exams
from dosremc_node.ledger.states import ProposalState
from dosremc_node.recalibration.bounds import Change
from dosremc_node.recalibration.gate import Decision
from dosremc_node.recalibration.proposal_folder import PROPOSALS, read_proposal
from dosremc_node.recalibration.proposing import Site, broken_rule
from dosremc_node.recalibration.shadow import outside_band
from dosremc_node.records import BankId, Domain, OperatingPoint
from dosremc_node.releases import ReleaseFacts, bank_to_safetensors, write_release
from dosremc_node.releases.banks import Bank
from dosremc_node.releases.digests import sha256_of

_FOR_GOOD = (
    BankUnreadable, FiltersMoved, NoSuchRelease, OutsideTheChangePlan, ProposalDamaged, ProposalStale, ReleaseDamaged, ReleaseUnreadable,
    WindowPromotedBefore,
)  # fmt: skip
"""What no later try can mend; the ledger or the disk being away is not among it."""
AUTOMATIC = "the change plan"
"""Who approves what the plan lets take effect by itself."""
_NO_PERSON = frozenset({"", "unknown", audit.NODE, AUTOMATIC, "daemon", "recalibration", "recalibrate", "dosremc-node"})


def approve(site: Site, proposal_id: str, approver: str, actor: str, now: datetime) -> Proposal:
    """Have a person answer for a proposal, and put it in force. Approved again, it goes on where it was.

    ``approver`` is named in the release; ``actor`` is who typed it. Raises `NoSuchProposal`, `IllegalTransition`, `ApproverNotNamed`,
    `StillInShadow`, `ProposalStale`, `WindowPromotedBefore`, `OutsideTheChangePlan`, `ProposalDamaged`, `ReleaseDamaged`.
    """
    proposal = proposals.get_proposal(site.ledger, proposal_id)
    _check_approver(proposal, approver)
    return _approve(site, proposal, approver.strip(), actor, now)


def approve_automatically(site: Site, now: datetime) -> Sequence[Proposal]:
    """Put in force what the change plan lets take effect without a person, once its time in shadow is over."""
    kinds = {kind.value for kind in site.plan.automatic}
    waiting = proposals.list_proposals(site.ledger, proposals.UNDECIDED)
    for each in waiting:
        if each.kind in kinds and not _missing_in_shadow(site, each):
            try:
                return [_approve(site, each, AUTOMATIC, audit.NODE, now)]  # what else waits is stale then
            except _FOR_GOOD as error:
                _end(site, each, ProposalState.REFUSED, error, now)
    return []


def resume(site: Site, now: datetime) -> Sequence[Proposal]:
    """Go on with every promotion that was interrupted. One that cannot go on is withdrawn, with the reason."""
    approved = proposals.list_proposals(site.ledger, (ProposalState.APPROVED,))
    return [_promote_or_withdraw(site, each, now) for each in approved]


def _promote_or_withdraw(site: Site, proposal: Proposal, now: datetime) -> Proposal:
    try:
        return _promote(site, proposal, audit.NODE, now)
    except _FOR_GOOD as error:
        with suppress(IllegalTransition):  # another process has promoted it meanwhile
            return _end(site, proposal, ProposalState.WITHDRAWN, error, now)
        return proposals.get_proposal(site.ledger, proposal.proposal_id)


def _end(site: Site, proposal: Proposal, state: ProposalState, why: NodeError, now: datetime) -> Proposal:
    return proposals.end_proposal(site.ledger, proposal.proposal_id, state, actor=audit.NODE, reason=str(why), now=now)


def _approve(site: Site, proposal: Proposal, approver: str, actor: str, now: datetime) -> Proposal:
    if proposal.state is ProposalState.PROMOTED:
        return proposal
    if proposal.state is ProposalState.SHADOW and (missing := _missing_in_shadow(site, proposal)):
        needed = site.plan.guard.shadow_exams
        raise StillInShadow(proposal=proposal.proposal_id, exams=needed - missing, needed=needed)
    if proposal.state in proposals.WAITING:
        _checked(site, proposal)  # before anything is entered
    approved = proposals.approve(site.ledger, proposal.proposal_id, approver, actor, now)
    return _promote(site, approved, actor, now)


def _missing_in_shadow(site: Site, proposal: Proposal) -> int:
    if proposal.state is not ProposalState.SHADOW:
        return 0
    return max(site.plan.guard.shadow_exams - len(shadow_exams(site.ledger, proposal.proposal_id)), 0)


def _check_approver(proposal: Proposal, approver: str) -> None:
    """Case, spaces and characters that nobody sees make no other person."""
    name = _plain(approver)
    if name in _NO_PERSON or name == _plain(proposal.proposer):
        raise ApproverNotNamed(approver=approver, proposal=proposal.proposal_id, proposer=proposal.proposer)


def _plain(name: str) -> str:
    seen = "".join(
        character for character in unicodedata.normalize("NFKC", name) if unicodedata.category(character)[0] != "C" or character.isspace()
    )
    return " ".join(seen.split()).casefold()


# --- Asked again ------------------------------------------------------------------------------------------------------


def _checked(site: Site, proposal: Proposal) -> tuple[Change, Decision]:
    """The change as it was judged, once more held against all that it was held against."""
    in_force = release_in_force(site.ledger)
    if in_force != proposal.parent_release:
        raise ProposalStale(proposal=proposal.proposal_id, parent=proposal.parent_release, in_force=in_force)
    site.shelf.verify(proposal.parent_release)
    kept = read_proposal(site.folder, proposal, site.shelf.load(proposal.parent_release))
    rule, numbers = broken_rule(site, kept.change, proposal.look_id)
    if proposal.plan_sha256 != site.plan.sha256:
        rule, numbers = "the change plan is another one than it was judged under", {}
    elif not kept.decision.passed:
        rule, numbers = kept.decision.rule, kept.decision.numbers
    elif why := outside_band(site.plan, kept.decision, shadow_exams(site.ledger, proposal.proposal_id)):
        rule, numbers = why, {}
    if rule:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        raise OutsideTheChangePlan(proposal=proposal.proposal_id, rule=rule, numbers=shown or "no numbers")
    return kept.change, kept.decision


# --- In force ---------------------------------------------------------------------------------------------------------


def _promote(site: Site, proposal: Proposal, actor: str, now: datetime) -> Proposal:
    if proposal.state is not ProposalState.PROMOTED:
        change, decision = _checked(site, proposal)
        with _alone(site.folder):
            for unfinished in site.folder.glob(f".{proposal.release_id}-*"):  # of a process that was killed while it wrote
                shutil.rmtree(unfinished)
            with suppress(ReleaseExists):  # by a process that was killed once it had written: it is looked at either way
                write_release(site.folder, _facts(proposal, change, decision), change.parent.backbone(), _banks(change))
        _check_release(site, proposal, change)
    return proposals.put_promoted_in_force(site.ledger, proposal.proposal_id, actor, now)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two processes that promote at once write one after the other. The kernel lets go of the lock of one that is killed."""
    with (folder / PROPOSALS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _banks(change: Change) -> dict[Domain, Bank]:
    banks: dict[Domain, Bank] = {domain: change.parent.bank(domain) for domain in change.parent.release.banks}
    return banks if change.bank is None else banks | {change.domain: change.bank}


def _facts(proposal: Proposal, change: Change, decision: Decision) -> ReleaseFacts:
    """All of the parent's, demonstration weights too, but for what the proposal changes."""
    before, evidence = change.parent.release, change.parent.evidence
    judged: dict[str, JsonValue] = {"kind": change.kind.value, "rule": decision.rule, "numbers": dict(decision.numbers)}
    return ReleaseFacts(
        release_id=proposal.release_id,
        preprocessing=before.preprocessing,
        operating_points=_points(change),
        approver=proposal.approver,
        demonstration=before.demonstration,
        statement=before.statement,
        parent=before.release_id,
        algorithm_name=before.algorithm_name,
        manufacturer=before.manufacturer,
        allows_tf32=before.allows_tf32 and change.bank is None,
        half_precision_tolerance=before.half_precision_tolerance if change.bank is None else None,
        cohort=_mapping(evidence["cohort"]),
        metrics=_mapping(evidence["metrics"]) | {proposal.proposal_id: judged},
        provenance=_provenance(proposal, change),
    )


def _points(change: Change) -> dict[str, OperatingPoint]:
    return {**change.parent.release.operating_points, **change.operating_points}


def _provenance(proposal: Proposal, change: Change) -> dict[str, JsonValue]:
    return {
        "parent_device_uid": change.parent.release.device_uid,
        "proposal": proposal.proposal_id,
        "proposal_sha256": proposal.content_sha256,
        "change_plan_sha256": proposal.plan_sha256,
        "window": proposal.window,
        "proposer": proposal.proposer,
    }


def _mapping(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _check_release(site: Site, proposal: Proposal, change: Change) -> None:
    """Read what was written, or lay there, and compare it with what was approved: only the domain's bank and points may differ."""
    site.shelf.verify(proposal.release_id)
    loaded, before = site.shelf.load(proposal.release_id), change.parent.release
    made = loaded.release
    if (made.filters_sha256, made.backbone_sha256) != (before.filters_sha256, before.backbone_sha256):
        raise FiltersMoved(moved=f"those of {made.release_id} are not those of {before.release_id}")
    banks = dict(before.banks)
    if change.bank is not None:
        banks[change.domain] = BankId(change.domain, sha256_of(bank_to_safetensors(change.bank)))
    found = (made.banks, made.operating_points, made.approver, made.demonstration, made.parent, loaded.evidence["provenance"])
    approved = (banks, _points(change), proposal.approver, before.demonstration, before.release_id, _provenance(proposal, change))
    if found != approved or made.preprocessing_sha256 != before.preprocessing_sha256:
        raise ProposalDamaged(what=f"the release {made.release_id}", proposal=proposal.proposal_id)
