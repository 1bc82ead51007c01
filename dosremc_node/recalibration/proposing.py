"""Making a proposal: the change as files, its report, and its row in the ledger."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from dosremc_node.errors import NoReleasesFolder
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.looks import Look, scanner_keys_of
from dosremc_node.ledger.proposals import NewProposal, Proposal, enter_proposal, find_of_window, leaked
from dosremc_node.ledger.states import ProposalState
from dosremc_node.recalibration.bounds import Change, outside
from dosremc_node.recalibration.change_plan import ChangePlan
from dosremc_node.recalibration.comparison import HeldOut
from dosremc_node.recalibration.gate import EXPECTED_SHARE, Decision
from dosremc_node.recalibration.proposal_folder import write_proposal
from dosremc_node.recalibration.report import Reported, report_files
from dosremc_node.records import to_json
from dosremc_node.releases import ReleaseShelf, default_shelf
from dosremc_node.settings import Settings


@dataclass(frozen=True, slots=True)
class Site:
    """Where proposals are made and promoted: the ledger, the releases, the folder that new ones are written to, and what may change."""

    ledger: Ledger
    shelf: ReleaseShelf
    folder: Path
    plan: ChangePlan


def site_of(ledger: Ledger, settings: Settings, plan: ChangePlan) -> Site:
    """Raises `NoReleasesFolder` where the settings name no folder that a new release could be written to."""
    if settings.releases.folder is None:
        raise NoReleasesFolder
    return Site(ledger, default_shelf(settings.releases), settings.releases.folder, plan)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the gate saw: ``held_out`` by scanner key, and ``numbers`` of how the change was made, for the report.

    ``expected_share``: the share of exams that it is to flag, which guards are held against; None: what it flags of ``held_out``.
    """

    held_out: Mapping[str, HeldOut]
    numbers: Mapping[str, float] = field(default_factory=dict)
    expected_share: float | None = None

    @property
    def share(self) -> float | None:
        exams = sum(len(part.challenger) for part in self.held_out.values())
        if self.expected_share is not None or not exams:
            return self.expected_share
        return sum(part.challenger_share * len(part.challenger) for part in self.held_out.values()) / exams


def propose(
    site: Site, change: Change, decision: Decision, evidence: Evidence, *, window: str, look: Look | None, proposer: str, now: datetime
) -> Proposal:
    """Keep a change and what the gate said of it, passed or refused, with a report, as a folder and a row.

    ``window`` names the interval that it was made from, such as ``2026-03``; a window proposes once for a kind, domain and scanner key,
    and asked again answers with what became of it. ``look`` is the one that judged it (`ledger.looks.take_look`). What passed and breaks a bound
    of the plan, or was judged by women that it was fitted to, is refused. Raises `OSError` where the disk does.
    """
    known = find_of_window(site.ledger, change.kind, change.domain, change.scanner_key, window)
    if known is not None:
        return known
    decision = _checked(site, change, decision, evidence, look)
    proposal_id = id_of(change, window)
    report = report_files(Reported(proposal_id, window, change, decision, evidence.held_out, evidence.numbers, site.plan))
    content_sha256 = write_proposal(site.folder, proposal_id, change, decision, window=window, report=report)
    new = NewProposal(
        proposal_id=proposal_id,
        kind=change.kind,
        domain=change.domain,
        scanner_key=change.scanner_key,
        window=window,
        look_id=look.look_id if look else None,
        parent_release=change.parent.release.release_id,
        release_id=f"{change.domain[:30]}-{change.kind}-{proposal_id[2:]}",
        content_sha256=content_sha256,
        plan_sha256=site.plan.sha256,
        decision=to_json(decision),
        proposer=proposer,
    )
    return enter_proposal(site.ledger, new, _state(site.plan, decision), decision.rule, now)


def id_of(change: Change, window: str) -> str:
    """``p-`` and 12 letters or digits, the same for the same kind, domain, scanner key and window."""
    digest = hashlib.sha256(f"{change.kind}\n{change.domain}\n{change.scanner_key}\n{window}".encode()).digest()
    return "p-" + base64.b32encode(digest).decode().lower()[:12]


def _state(plan: ChangePlan, decision: Decision) -> ProposalState:
    if not decision.passed:
        return ProposalState.REFUSED
    return ProposalState.SHADOW if plan.guard.shadow_exams else ProposalState.PASSED


def _checked(site: Site, change: Change, decision: Decision, evidence: Evidence, look: Look | None) -> Decision:
    """Whatever a caller says has passed, the rules hold. Numbers that are none are left out: JSON cannot say them."""
    rule, measured = broken_rule(site, change, look.look_id if look else None)
    numbers = decision.numbers | measured
    if evidence.share is not None:
        numbers[EXPECTED_SHARE] = evidence.share
    numbers = {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
    if decision.passed and rule:
        return replace(decision, passed=False, rule=rule, numbers=numbers)
    return replace(decision, numbers=numbers)


def broken_rule(site: Site, change: Change, look_id: int | None) -> tuple[str, dict[str, float]]:
    """What holds of a change whoever judged it, asked when it is proposed and again when it is approved: the plan's bounds, that no woman
    judges what was fitted to her, and that every scanner it touches is one of its exams'. Empty where nothing is broken.
    """
    rule, numbers = outside(site.plan, change)
    if rule or look_id is None:
        return rule, numbers
    if women := leaked(site.ledger, look_id):
        return "leaked patients: women are both fitted and judged", numbers | {"leaked_patients": women}
    if strangers := set(change.operating_points) - {change.domain} - scanner_keys_of(site.ledger, look_id):
        return f"it touches a scanner that none of its exams is of ({min(strangers)})", numbers
    return "", numbers
