"""Proposals: from the gate's answer to a release in force, and back. Each step is a transition, in one transaction with its audit row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dosremc_node.errors import NoSuchProposal, ProposalStale, ReleaseChangedMeanwhile, WindowPromotedBefore
from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.looks import exams_of
from dosremc_node.ledger.proposal_tables import ProposalRow
from dosremc_node.ledger.releases import exchange
from dosremc_node.ledger.states import PROPOSALS, ProposalState, check_transition
from dosremc_node.ledger.tables import ReleaseInForceRow, fitting
from dosremc_node.ledger.women import women_of
from dosremc_node.records import Domain

UNDECIDED = (ProposalState.PASSED, ProposalState.SHADOW)
WAITING = (*UNDECIDED, ProposalState.APPROVED)
TOOK_EFFECT = (ProposalState.APPROVED, ProposalState.PROMOTED, ProposalState.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class NewProposal:
    """What is known of a proposal when it is made; see `ProposalRow`."""

    proposal_id: str
    kind: str
    domain: Domain
    scanner_key: str
    window: str
    look_id: int | None
    parent_release: str
    release_id: str
    content_sha256: str
    plan_sha256: str
    decision: str
    """The gate's `Decision` as JSON."""
    proposer: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as it stands."""

    proposal_id: str
    kind: str
    domain: Domain
    scanner_key: str
    window: str
    look_id: int | None
    parent_release: str
    release_id: str
    content_sha256: str
    plan_sha256: str
    decision: str
    state: ProposalState
    reason: str
    proposer: str
    proposed_at: datetime
    shadow_since: datetime | None
    approver: str
    approved_at: datetime | None
    promoted_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class _By:
    """Who moved a proposal, why, and when."""

    actor: str
    reason: str
    now: datetime


# --- From the gate to a release in force ------------------------------------------------------------------------------


def enter_proposal(ledger: Ledger, new: NewProposal, state: ProposalState, reason: str, now: datetime) -> Proposal:
    """Enter a proposal with what the gate said: `REFUSED`, `PASSED`, or `SHADOW`, which has passed and is first scored beside.

    One of the same kind, domain, scanner key and window is returned as it stands: a window proposes once, whatever became of it. Earlier
    ones of the same kind, domain and scanner key that still wait are withdrawn, once this one passed.
    """
    key = fitting(ProposalRow.scanner_key, new.scanner_key)
    same = select(ProposalRow).filter_by(kind=new.kind, domain=new.domain, scanner_key=key)
    with ledger.transaction() as session:
        audit.take_turn(session)
        row = session.scalar(same.filter_by(window=new.window))
        if row is None:
            row = _proposed(session, new, key, now)
            if state is not ProposalState.REFUSED:
                _move(session, row, ProposalState.PASSED, _By(audit.NODE, reason, now))
                for earlier in session.scalars(same.where(ProposalRow.state.in_(UNDECIDED), ProposalRow.proposal_id != row.proposal_id)):
                    _move(session, earlier, ProposalState.WITHDRAWN, _By(audit.NODE, f"{row.proposal_id} took its place", now))
            if state is not ProposalState.PASSED:
                _move(session, row, state, _By(audit.NODE, reason, now))
        return _record(row)


def _proposed(session: Session, new: NewProposal, key: str, now: datetime) -> ProposalRow:
    facts = asdict(new) | {"scanner_key": key, "proposer": fitting(ProposalRow.proposer, new.proposer)}
    row = ProposalRow(**facts, state=ProposalState.PROPOSED, proposed_at=now)
    session.add(row)
    session.flush()
    told = ("kind", "domain", "scanner_key", "window", "parent_release", "content_sha256", "plan_sha256")
    audit.append(session, new.proposer, "propose change", new.proposal_id, {name: facts[name] for name in told})
    return row


def approve(ledger: Ledger, proposal_id: str, approver: str, actor: str, now: datetime) -> Proposal:
    """``approver`` answers for it: from here on it is promoted, whatever is interrupted. Approved again it is as it was.

    Raises `NoSuchProposal`, `IllegalTransition`, `ProposalStale`, `WindowPromotedBefore`.
    """
    with ledger.transaction() as session:
        audit.take_turn(session)  # first, as everywhere here: two that wait for each other's rows would wait for good
        row = _row(session, proposal_id)
        if row.state is not ProposalState.APPROVED:
            check_transition(PROPOSALS, f"the proposal {proposal_id}", row.state, ProposalState.APPROVED)
            _check_in_force(session, row)
            _check_window(session, row)
            row.approver = fitting(ProposalRow.approver, approver)
            row.approved_at = now
            _move(session, row, ProposalState.APPROVED, _By(actor, f"approved by {approver}", now))
        return _record(row)


def put_promoted_in_force(ledger: Ledger, proposal_id: str, actor: str, now: datetime) -> Proposal:
    """The release of an approved proposal lies on the shelf: it and the proposal's state change together, or neither does.

    What else waits was judged against what was in force before, and is withdrawn. Raises as `approve`.
    """
    with ledger.transaction() as session:
        audit.take_turn(session)  # first, as everywhere here: two that wait for each other's rows would wait for good
        row = _row(session, proposal_id)
        if row.state is not ProposalState.PROMOTED:
            check_transition(PROPOSALS, f"the proposal {proposal_id}", row.state, ProposalState.PROMOTED)
            _check_in_force(session, row)
            exchange(session, row.release_id, actor)
            row.promoted_at = now
            _move(session, row, ProposalState.PROMOTED, _By(actor, row.reason, now), {"release": row.release_id, "approver": row.approver})
            _withdraw_stale(session, row.release_id, now)
        return _record(row)


def end_proposal(ledger: Ledger, proposal_id: str, state: ProposalState, *, actor: str, reason: str, now: datetime) -> Proposal:
    """Refuse (`REFUSED`) or withdraw (`WITHDRAWN`) a proposal that waits. Raises `NoSuchProposal`, `IllegalTransition`."""
    with ledger.transaction() as session:
        audit.take_turn(session)  # first, as everywhere here: two that wait for each other's rows would wait for good
        row = _row(session, proposal_id)
        _move(session, row, state, _By(actor, reason, now))
        return _record(row)


def roll_back(ledger: Ledger, undone: Collection[str], to: str, *, actor: str, reason: str, now: datetime) -> Sequence[Proposal]:
    """Put the release ``to`` in force in place of ``undone``, releases from the one in force down to ``to``, that one left out.

    Answers the proposals that this rolled back. Raises `ReleaseChangedMeanwhile` where none of ``undone`` is in force any more.
    """
    with ledger.transaction() as session:
        audit.take_turn(session)
        in_force = _in_force(session)
        if in_force not in undone:
            raise ReleaseChangedMeanwhile(release=in_force)
        exchange(session, to, actor)
        query = select(ProposalRow).where(ProposalRow.release_id.in_(undone), ProposalRow.state == ProposalState.PROMOTED)
        rows = list(session.scalars(query.order_by(ProposalRow.promoted_at)))
        for row in rows:
            _move(session, row, ProposalState.ROLLED_BACK, _By(actor, reason, now), {"to": to})
        _withdraw_stale(session, to, now)
        return [_record(row) for row in rows]


def _withdraw_stale(session: Session, in_force: str, now: datetime) -> None:
    query = select(ProposalRow).where(ProposalRow.state.in_(WAITING), ProposalRow.parent_release != in_force)
    for row in session.scalars(query):
        reason = f"it would change {row.parent_release}, and {in_force} is in force"
        _move(session, row, ProposalState.WITHDRAWN, _By(audit.NODE, reason, now))


def _check_in_force(session: Session, row: ProposalRow) -> None:
    in_force = _in_force(session)
    if in_force != row.parent_release:
        raise ProposalStale(proposal=row.proposal_id, parent=row.parent_release, in_force=in_force)


def _in_force(session: Session) -> str | None:
    return session.scalar(select(ReleaseInForceRow.release_id))


def _check_window(session: Session, row: ProposalRow) -> None:
    of_window = select(ProposalRow.proposal_id).filter_by(domain=row.domain, window=row.window)
    other = session.scalar(of_window.where(ProposalRow.state.in_(TOOK_EFFECT), ProposalRow.proposal_id != row.proposal_id))
    if other is not None:
        raise WindowPromotedBefore(window=row.window, domain=row.domain, other=other)


def _move(session: Session, row: ProposalRow, state: ProposalState, by: _By, detail: Mapping[str, str] | None = None) -> None:
    """One transition with its trace; raises `IllegalTransition`."""
    check_transition(PROPOSALS, f"the proposal {row.proposal_id}", row.state, state)
    facts = {"from": row.state, "to": state, "reason": by.reason, "domain": row.domain, "kind": row.kind}
    row.state, row.reason = state, by.reason
    if not PROPOSALS[state]:
        row.ended_at = by.now
    if state is ProposalState.SHADOW:
        row.shadow_since = by.now
    audit.append(session, by.actor, f"proposal {state}", row.proposal_id, facts | dict(detail or {}))


# --- To look at -------------------------------------------------------------------------------------------------------


def get_proposal(ledger: Ledger, proposal_id: str) -> Proposal:
    """Raises `NoSuchProposal`."""
    with ledger.reading() as session:
        return _record(_row(session, proposal_id))


def list_proposals(ledger: Ledger, states: Collection[ProposalState] = (), domain: Domain | None = None) -> Sequence[Proposal]:
    """The proposals in these states, or in any; the newest first."""
    query = select(ProposalRow).order_by(ProposalRow.proposed_at.desc(), ProposalRow.proposal_id)
    query = query.where(ProposalRow.state.in_(states)) if states else query
    query = query.filter_by(domain=domain) if domain is not None else query
    with ledger.reading() as session:
        return [_record(row) for row in session.scalars(query)]


def find_of_window(ledger: Ledger, kind: str, domain: Domain, scanner_key: str, window: str) -> Proposal | None:
    """What a window has proposed."""
    key = fitting(ProposalRow.scanner_key, scanner_key)
    with ledger.reading() as session:
        row = session.scalar(select(ProposalRow).filter_by(kind=kind, domain=domain, scanner_key=key, window=window))
        return _record(row) if row else None


def proposal_of_release(ledger: Ledger, release_id: str) -> Proposal | None:
    """The proposal that a release was made of, as far as this ledger knows of one."""
    with ledger.reading() as session:
        row = session.scalar(select(ProposalRow).filter_by(release_id=release_id))
        return _record(row) if row else None


def leaked(ledger: Ledger, look_id: int) -> int:
    """How many women a proposal was both fitted to and judged by, after the merges in force today."""
    women, fitted, judged = women_of(ledger), *exams_of(ledger, look_id)
    return len({women[each] for each in fitted} & {women[each] for each in judged})


def _row(session: Session, proposal_id: str) -> ProposalRow:
    row = session.get(ProposalRow, proposal_id, with_for_update=True)
    if row is None:
        raise NoSuchProposal(proposal=proposal_id)
    return row


def _record(row: ProposalRow) -> Proposal:
    facts = {each.name: getattr(row, each.name) for each in fields(Proposal)}
    return Proposal(**facts | {"domain": Domain(row.domain), "state": ProposalState(row.state)})
