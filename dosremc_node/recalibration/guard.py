"""The guard in service: a promoted change that flags too many exams, or too few, is taken back before anybody has to ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from dosremc_node.errors import NodeError
from dosremc_node.ledger import Ledger, audit
from dosremc_node.ledger.exams import assessed_exams
from dosremc_node.ledger.proposals import Proposal, list_proposals
from dosremc_node.ledger.releases import release_in_force
from dosremc_node.ledger.shadows import withhold
from dosremc_node.ledger.states import ProposalState
from dosremc_node.recalibration.change_plan import ChangePlan, GuardAction
from dosremc_node.recalibration.gate import EXPECTED_SHARE, Decision
from dosremc_node.recalibration.proposing import Site, site_of
from dosremc_node.recalibration.shadow import is_flagged, missed
from dosremc_node.records import from_json
from dosremc_node.releases.rollback import line_of, roll_back
from dosremc_node.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """A promoted change in service: how many exams it has scored, what share it flagged of the latest, and ``why`` it left its band, if it did."""

    proposal: Proposal
    exams: int
    flagged: float | None
    expected: float | None
    why: str = ""
    action: GuardAction | None = None
    """What was done about it."""


def guard(ledger: Ledger, settings: Settings, plan: ChangePlan, now: datetime) -> Sequence[Watched]:
    """Look at every promoted change in service, and act where one has left its band: in the audit trail, and as an error in the log."""
    site = site_of(ledger, settings, plan)
    return [_acted(site, each, now) if each.why else each for each in watch(site)]


def watch(site: Site) -> Iterator[Watched]:
    """What `guard` would look at, without acting: the latest promoted change of each domain and scanner key, the newest first."""
    line, seen = line_of(site.shelf, release_in_force(site.ledger) or ""), set()
    for proposal in list_proposals(site.ledger, (ProposalState.PROMOTED,)):
        family = (proposal.domain, proposal.scanner_key)
        if proposal.release_id in line and family not in seen:
            seen.add(family)
            yield _watched(site, proposal, line[: line.index(proposal.release_id) + 1])


def _watched(site: Site, proposal: Proposal, since_then: Sequence[str]) -> Watched:
    """``since_then``: its release and those that came after it."""
    expected = from_json(Decision, proposal.decision).numbers.get(EXPECTED_SHARE)
    exams = assessed_exams(site.ledger, domain=proposal.domain, scanner_key=proposal.scanner_key or None)
    flagged = [is_flagged(exam) for exam in exams if exam.release_id in since_then]
    latest = flagged[-site.plan.guard.exams :]
    share = sum(latest) / len(latest) if latest else None
    why = ""
    if expected is not None and len(latest) >= site.plan.guard.exams:
        why = missed(site.plan, expected, latest, "in service")
    return Watched(proposal, len(flagged), share, expected, why)


def _acted(site: Site, watched: Watched, now: datetime) -> Watched:
    """Rolled back alone, where that is possible; else the domain is not shown until a person has looked."""
    proposal = watched.proposal
    action = GuardAction.WITHHOLD
    if site.plan.guard.action is GuardAction.ROLL_BACK and release_in_force(site.ledger) == proposal.release_id:
        try:
            roll_back(site.ledger, site.shelf, actor=audit.NODE, reason=watched.why, now=now)
            action = GuardAction.ROLL_BACK
        except NodeError as error:
            log.error("guard_could_not_roll_back", proposal=proposal.proposal_id, reason=str(error))  # noqa: TRY400 - a traceback says no more
    if action is GuardAction.WITHHOLD:
        withhold(site.ledger, proposal.domain, watched.why, audit.NODE, now)
    log.error("guard_band_left", proposal=proposal.proposal_id, domain=proposal.domain, why=watched.why, action=action)
    return replace(watched, action=action)
