"""The guard in service: a promoted change that flags too many exams, or too few, is taken back before anybody has to ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from dosremc_node.errors import NodeError
from dosremc_node.ledger import Ledger, audit
from dosremc_node.ledger.exams import AssessedExam, assessed_exams
from dosremc_node.ledger.proposals import Proposal, list_proposals
from dosremc_node.ledger.releases import release_in_force
from dosremc_node.ledger.shadows import assessed_since, lifted_at, withhold
from dosremc_node.ledger.states import ProposalState
from dosremc_node.recalibration.change_plan import ChangePlan, GuardAction
from dosremc_node.recalibration.gate import EXPECTED_SHARE, Decision
from dosremc_node.recalibration.proposing import Site, site_of
from dosremc_node.recalibration.shadow import is_flagged, missed
from dosremc_node.records import Domain, from_json
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
    """What `guard` would look at, without acting: the newest first. A later change of the same scanners takes a change's place."""
    line = line_of(site.shelf, release_in_force(site.ledger) or "")
    taken: defaultdict[Domain, set[str]] = defaultdict(set)
    for proposal in list_proposals(site.ledger, (ProposalState.PROMOTED,)):
        later = taken[proposal.domain]
        if proposal.release_id in line and not later & {"", proposal.scanner_key}:
            yield _watched(site, proposal, line[: line.index(proposal.release_id) + 1], frozenset(later))
            later.add(proposal.scanner_key)


def _watched(site: Site, proposal: Proposal, since_then: Sequence[str], others: Collection[str]) -> Watched:
    """``since_then``: its release and those that came after it. ``others``: scanners that a later change has touched."""
    expected = from_json(Decision, proposal.decision).numbers.get(EXPECTED_SHARE)
    flagged = [is_flagged(exam) for exam in _exams(site, proposal) if exam.release_id in since_then and exam.scanner_key not in others]
    latest = flagged[-site.plan.guard.exams :]
    share = sum(latest) / len(latest) if latest else None
    why = ""
    if expected is not None and len(latest) >= site.plan.guard.exams:
        why = missed(site.plan, expected, latest, "in service")
    return Watched(proposal, len(flagged), share, expected, why)


def _exams(site: Site, proposal: Proposal) -> Sequence[AssessedExam]:
    """Where a person has had the domain shown again, only those since: what was before, that person has seen."""
    exams = assessed_exams(site.ledger, domain=proposal.domain, scanner_key=proposal.scanner_key or None)
    lifted = lifted_at(site.ledger, proposal.domain)
    if lifted is None:
        return exams
    since = assessed_since(site.ledger, lifted)
    return [exam for exam in exams if exam.study_id in since]


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
    if action is GuardAction.WITHHOLD and not withhold(site.ledger, proposal.domain, watched.why, audit.NODE, now):
        return watched  # it is withheld already
    log.error("guard_band_left", proposal=proposal.proposal_id, domain=proposal.domain, why=watched.why, action=action)
    return replace(watched, action=action)
