"""Runs, looks, proposals and what is withheld. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from harness.exams import DOMAIN, exam
from harness.ledger import enter_exams
from sqlalchemy import update

from dosremc_node.errors import (
    DomainNotWithheld,
    ExamsJudgedBefore,
    IllegalTransition,
    LooksSpent,
    NodeError,
    NoSuchProposal,
    ProposalStale,
    WindowTaken,
)
from dosremc_node.ledger import Ledger, audit, shadows
from dosremc_node.ledger.looks import Family, Look, claim_run, exams_of, finish_run, judged_until, take_look
from dosremc_node.ledger.proposal_tables import ProposalRow
from dosremc_node.ledger.proposals import (
    NewProposal,
    approve,
    end_proposal,
    enter_proposal,
    get_proposal,
    list_proposals,
    put_promoted_in_force,
)
from dosremc_node.ledger.releases import put_in_force, release_in_force
from dosremc_node.ledger.shadows import ShadowExam
from dosremc_node.ledger.states import PROPOSALS, ProposalState
from dosremc_node.records import StudyId

NOW = datetime(2026, 3, 10, tzinfo=UTC)
FAMILY = Family("calibration", DOMAIN, "Maker / Model / 1.0")


def exams(ledger: Ledger, *numbers: int) -> list[StudyId]:
    enter_exams(ledger, [exam(number) for number in numbers])
    return [StudyId(f"S-{number:012d}") for number in numbers]


def a_look(
    ledger: Ledger, window: str, judged: Sequence[StudyId], *, family: Family = FAMILY, alpha: float = 0.02, since: date | None = None
) -> Look:
    return take_look(
        ledger, family, window, fitted=[], judged=judged, judged_until=date(2026, 3, 1), alpha=alpha, budget=0.05, since=since, now=NOW
    )


def new(number: int = 1, parent: str = "r1", window: str = "2026-03") -> NewProposal:
    return NewProposal(f"p-{number}", "calibration", DOMAIN, "", window, None, parent, f"r-{number}", "c" * 64, "a" * 64, "{}", "node")


def entered(ledger: Ledger, number: int = 1, state: ProposalState = ProposalState.PASSED, **facts: str) -> str:
    return enter_proposal(ledger, new(number, **facts), state, "why", NOW).proposal_id


# --- Runs and looks ---------------------------------------------------------------------------------------------------


def test_a_window_of_a_domain_is_run_by_one(ledger: Ledger) -> None:
    """Of many that claim a window at the same moment one gets it; its holder may go on after a crash, and nobody once it is finished."""

    def claim(holder: str) -> bool:
        try:
            return claim_run(ledger, DOMAIN, "2026-03", holder, NOW)
        except WindowTaken:
            return False

    holders = [f"process {number}" for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        claimed = list(threads.map(claim, holders))
    assert claimed.count(True) == 1
    holder = holders[claimed.index(True)]
    assert claim(holder)
    finish_run(ledger, DOMAIN, "2026-03", "nothing to do", NOW)
    assert not claim(holder)
    assert not claim("another")
    assert claim_run(ledger, DOMAIN, "2026-04", "another", NOW)


def test_every_look_is_paid_for_until_nothing_is_left(ledger: Ledger) -> None:
    """Looks of a family share its alpha: one that would overspend is refused, other families pay for themselves, an approved new plan begins anew."""
    first, second, third, fourth = exams(ledger, 1, 2, 3, 4)
    assert a_look(ledger, "1", [first]).number == 1
    assert a_look(ledger, "2", [second]).number == 2
    with pytest.raises(LooksSpent):
        a_look(ledger, "3", [third])
    assert a_look(ledger, "3", [third], family=replace(FAMILY, scanner_key="another")).number == 1
    assert a_look(ledger, "3", [third], alpha=0.0).number == 3
    assert a_look(ledger, "4", [fourth], since=NOW.date() + timedelta(days=1)).number == 4


def test_an_exam_judges_once(ledger: Ledger) -> None:
    """No later look of the family can use an exam again, and a refused one spends nothing; the next takes exams after it."""
    first, second = exams(ledger, 1, 2)
    assert judged_until(ledger, FAMILY) is None
    a_look(ledger, "1", [first])
    with pytest.raises(ExamsJudgedBefore):
        a_look(ledger, "2", [first, second])
    assert judged_until(ledger, FAMILY) == date(2026, 3, 1)
    assert a_look(ledger, "2", [second]).number == 2


def test_an_interrupted_look_is_the_same_look(ledger: Ledger) -> None:
    """Asked again for its window, it is neither paid twice nor given other exams."""
    first, second = exams(ledger, 1, 2)
    look = a_look(ledger, "1", [first])
    assert a_look(ledger, "1", [second]) == look
    assert exams_of(ledger, look.look_id) == (frozenset(), {first})


# --- Proposals --------------------------------------------------------------------------------------------------------


def moved(ledger: Ledger, name: str, target: ProposalState) -> None:
    """One transition by the function that makes it."""
    if target is ProposalState.PROMOTED:
        put_promoted_in_force(ledger, name, "the test", NOW)
    else:
        end_proposal(ledger, name, target, actor="the test", reason="", now=NOW)


@pytest.mark.parametrize("state", [each for each in ProposalState if each is not ProposalState.PROMOTED])
def test_only_what_the_state_machine_knows_happens(ledger: Ledger, state: ProposalState) -> None:
    """From every state, each state that does not follow is refused, and nothing is entered."""
    put_in_force(ledger, "r1", "the test")
    name = entered(ledger)
    with ledger.transaction() as session:
        session.execute(update(ProposalRow).values(state=state))
    rows = audit.last_sequence(ledger)
    for target in (ProposalState.REFUSED, ProposalState.WITHDRAWN, ProposalState.PROMOTED):
        if target not in PROPOSALS[state]:
            with pytest.raises(IllegalTransition):
                moved(ledger, name, target)
    assert audit.last_sequence(ledger) == rows


def test_release_and_proposal_change_together(ledger: Ledger) -> None:
    """In force and promoted, or neither: where another release came in between, nothing changes."""
    put_in_force(ledger, "r1", "the test")
    proposal = entered(ledger)
    approve(ledger, proposal, "Dr A", "the test", NOW)
    put_in_force(ledger, "r2", "somebody")
    with pytest.raises(ProposalStale):
        put_promoted_in_force(ledger, proposal, "the test", NOW)
    assert release_in_force(ledger) == "r2"
    assert get_proposal(ledger, proposal).state is ProposalState.APPROVED
    put_in_force(ledger, "r1", "somebody")
    assert put_promoted_in_force(ledger, proposal, "the test", NOW).state is ProposalState.PROMOTED
    assert release_in_force(ledger) == "r-1"


def test_of_many_approvals_at_once_one_counts(ledger: Ledger) -> None:
    """Two proposals of one parent that are approved at the same moment: one release is in force, the other proposal is not promoted."""
    put_in_force(ledger, "r1", "the test")
    other = enter_proposal(ledger, replace(new(2, window="2"), kind="alignment"), ProposalState.PASSED, "why", NOW)
    names = [entered(ledger), other.proposal_id]

    def promote(name: str) -> bool:
        try:
            approve(ledger, name, "Dr A", "the test", NOW)
            put_promoted_in_force(ledger, name, "the test", NOW)
        except NodeError:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(promote, names)) == [False, True]
    states = sorted(each.state for each in list_proposals(ledger))
    assert states == [ProposalState.PROMOTED, ProposalState.WITHDRAWN]


def test_a_proposal_that_nobody_made_is_named(ledger: Ledger) -> None:
    """A wrong name is told apart from a proposal that cannot move."""
    with pytest.raises(NoSuchProposal, match="p-none"):
        approve(ledger, "p-none", "Dr A", "the test", NOW)


def test_in_shadow_the_first_answer_stays(ledger: Ledger) -> None:
    """An exam that is scored again, after a crash, counts once and as it was."""
    first, second = exams(ledger, 1, 2)
    proposal = entered(ledger, state=ProposalState.SHADOW)
    assert get_proposal(ledger, proposal).shadow_since == NOW
    shadows.keep_shadow_exams(ledger, proposal, [ShadowExam(first, True, False)], NOW)
    shadows.keep_shadow_exams(ledger, proposal, [ShadowExam(first, True, True), ShadowExam(second, False, True)], NOW)
    assert {each.study_id: each.challenger_positive for each in shadows.shadow_exams(ledger, proposal)} == {first: False, second: True}


def test_a_domain_is_withheld_once_and_shown_again_by_a_person(ledger: Ledger) -> None:
    """Withholding and lifting are in the trail; what is not withheld cannot be lifted."""
    assert shadows.withhold(ledger, DOMAIN, "guard band", audit.NODE, NOW)
    assert not shadows.withhold(ledger, DOMAIN, "again", audit.NODE, NOW)
    assert shadows.withheld(ledger)[DOMAIN].reason == "guard band"
    shadows.lift(ledger, DOMAIN, "Dr A", NOW)
    assert shadows.withheld(ledger) == {}
    with pytest.raises(DomainNotWithheld):
        shadows.lift(ledger, DOMAIN, "Dr A", NOW)
    assert shadows.withhold(ledger, DOMAIN, "once more", "Dr A", NOW)
    told = [(entry.action, entry.actor) for entry in audit.entries(ledger)]
    assert told == [("withhold domain", "node"), ("show domain again", "Dr A"), ("withhold domain", "Dr A")]
    assert all(earlier.sequence < later.sequence for earlier, later in pairwise(audit.entries(ledger)))
