"""From a proposal to a release in force and back, whoever is killed, whatever was tampered with (promises 7 and 12)."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from harness.exams import DOMAIN, KEY, NOW, exam
from harness.proposals import APPROVER, PASSED, enter, look, proposed, recalibrated, reopened, site, tuned

from dosremc_node.errors import (
    ApproverNotNamed,
    IllegalTransition,
    NothingToRollBackTo,
    OutsideTheChangePlan,
    ProposalDamaged,
    ProposalStale,
    ReleaseDamaged,
    WindowPromotedBefore,
)
from dosremc_node.ledger import audit, proposals
from dosremc_node.ledger.proposals import get_proposal, list_proposals
from dosremc_node.ledger.releases import put_in_force, release_in_force
from dosremc_node.ledger.states import ProposalState
from dosremc_node.recalibration import promotion
from dosremc_node.recalibration.change_plan import ChangeKind, ChangePlan
from dosremc_node.recalibration.promotion import approve, approve_automatically, resume
from dosremc_node.recalibration.proposal_folder import folder_of
from dosremc_node.recalibration.proposing import Site
from dosremc_node.records import Domain
from dosremc_node.releases import writing
from dosremc_node.releases.rollback import roll_back
from dosremc_node.settings import SHIPPED_RELEASE


@pytest.fixture
def here(tmp_path: Path) -> Site:
    return site(tmp_path)


def back(here: Site, to: str | None = None) -> str:
    return roll_back(here.ledger, here.shelf, actor="the test", reason="recall doubled", now=NOW, to=to)[0]


def test_an_approved_bank_becomes_a_release_that_differs_in_nothing_else(here: Site) -> None:
    """The domain's bank is the proposed one; every other bank, the backbone, the filters and other points are the parent's, bit by bit."""
    change = tuned(here)
    proposal = approve(here, proposed(here, change).proposal_id, APPROVER, "the test", NOW)
    assert proposal.state is ProposalState.PROMOTED
    assert release_in_force(here.ledger) == proposal.release_id
    here.shelf.verify(proposal.release_id)
    made, before = here.shelf.load(proposal.release_id), change.parent
    assert made.backbone() == before.backbone()
    assert made.release.filters_sha256 == before.release.filters_sha256
    assert {domain for domain, bank in made.release.banks.items() if bank != before.release.banks[domain]} == {DOMAIN}
    assert np.array_equal(made.bank(DOMAIN)["fc.bias"], before.bank(DOMAIN)["fc.bias"] + np.float32(0.05))
    assert made.release.operating_points == before.release.operating_points
    assert made.release.device_uid != before.release.device_uid
    assert (made.release.parent, made.release.approver, made.release.demonstration) == (SHIPPED_RELEASE, APPROVER, True)
    provenance = made.evidence["provenance"]
    assert isinstance(provenance, dict)
    assert provenance["proposal_sha256"] == proposal.content_sha256


def test_the_trail_tells_of_every_step(here: Site) -> None:
    """Proposed, passed, approved with the approver's name, in force, rolled back: each has its row, and the chain holds."""
    proposal = proposed(here)
    approve(here, proposal.proposal_id, APPROVER, "operator", NOW)
    back(here)
    told = [entry for entry in audit.entries(here.ledger) if entry.subject == proposal.proposal_id]
    actions = ["propose change", "proposal passed", "proposal approved", "proposal promoted", "proposal rolled-back"]
    assert [entry.action for entry in told] == actions
    assert told[3].detail["approver"] == APPROVER
    assert told[2].actor == "operator"
    assert audit.faults(here.ledger) == []


@pytest.mark.parametrize("nobody", ["", "  \t", "node", "NODE", "no\u200bde", "\uff4eode", "unknown", "daemon", "the change plan"])
def test_nobody_is_no_approver(here: Site, nobody: str) -> None:
    """An approver is a person, who is not the proposer, however the name is written."""
    proposal = proposed(here)
    with pytest.raises(ApproverNotNamed):
        approve(here, proposal.proposal_id, nobody, "the test", NOW)
    assert release_in_force(here.ledger) == SHIPPED_RELEASE
    assert get_proposal(here.ledger, proposal.proposal_id).state is ProposalState.PASSED


def test_what_the_gate_refused_is_not_promoted(here: Site) -> None:
    """No approver can put in force what the gate has refused."""
    proposal = proposed(here, decision=replace(PASSED, passed=False, rule="a tie"))
    assert (proposal.state, proposal.reason) == (ProposalState.REFUSED, "a tie")
    with pytest.raises(IllegalTransition):
        approve(here, proposal.proposal_id, APPROVER, "the test", NOW)


@pytest.mark.parametrize("file", ["bank.safetensors", "operating.json", "proposal.json", "report.html"])
def test_a_tampered_proposal_is_refused(here: Site, file: str) -> None:
    """One changed byte of any file, the report too, is named, and nothing is put in force."""
    proposal = proposed(here)
    path = folder_of(here.folder, proposal.proposal_id) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ProposalDamaged, match=file):
        approve(here, proposal.proposal_id, APPROVER, "the test", NOW)
    assert get_proposal(here.ledger, proposal.proposal_id).state is ProposalState.PASSED


def test_a_decision_that_was_forged_with_its_digest_does_not_help(here: Site) -> None:
    """The digest of what was judged lies in the ledger: who rewrites a proposal's files consistently is refused all the same."""
    refused = proposed(here, decision=replace(PASSED, passed=False, rule="a tie"))
    folder = folder_of(here.folder, refused.proposal_id)
    content = json.loads((folder / "proposal.json").read_text())
    content["decision"]["passed"] = True
    (folder / "proposal.json").write_text(json.dumps(content))
    with here.ledger.transaction() as session:
        session.connection().exec_driver_sql("UPDATE proposal SET state = 'passed'")
    with pytest.raises(ProposalDamaged):
        approve(here, refused.proposal_id, APPROVER, "the test", NOW)


def test_a_change_outside_the_plan_is_refused_when_it_is_proposed_and_again_when_it_is_approved(here: Site) -> None:
    """Whatever a caller says of the gate: the bounds are those of the plan, and a plan that was changed since counts no more."""
    far = proposed(here, tuned(here, shift=50.0))
    assert far.state is ProposalState.REFUSED
    assert far.reason == "what is learnt moves further than the change plan allows"
    near = proposed(here, window="2026-04")
    narrower = ChangePlan.model_validate({"fine_tuning": {"largest_change": 1e-9}})
    with pytest.raises(OutsideTheChangePlan, match="another one than it was judged under"):
        approve(replace(here, plan=narrower), near.proposal_id, APPROVER, "the test", NOW)
    forbidden = ChangePlan(allowed=(ChangeKind.ALIGNMENT,))
    assert proposed(replace(here, plan=forbidden), window="2026-05").state is ProposalState.REFUSED
    assert release_in_force(here.ledger) == SHIPPED_RELEASE


def test_another_domain_cannot_be_touched(here: Site) -> None:
    """A proposal for one domain that carries another's operating point, or moves a bank where only points may move, is refused."""
    change, other = tuned(here), Domain("simulated-b")
    point = change.parent.release.operating_points[other]
    assert "another domain" in proposed(here, replace(change, operating_points={other: point})).reason
    moved = replace(recalibrated(here), bank=change.bank)
    assert "moves a bank" in proposed(here, moved, replace(PASSED, kind=ChangeKind.CALIBRATION)).reason


def test_women_on_both_sides_are_refused_now_and_after_a_merge(here: Site) -> None:
    """A woman who is fitted and judged refuses the proposal; one who turns out to be so before the approval does too."""
    fitted, judged = enter(here, [exam(1), exam(2)]), enter(here, [exam(3), exam(4)])
    assert "leaked patients" in proposed(here, look=look(here, [*fitted, judged[0]], judged)).reason
    clean = proposed(here, look=look(here, fitted, enter(here, [exam(5)]), window="2026-04"), window="2026-04")
    assert clean.state is ProposalState.PASSED
    with here.ledger.transaction() as session:
        session.connection().exec_driver_sql("UPDATE study SET patient_id = 'S-000000000001' WHERE study_id = 'S-000000000005'")
    with pytest.raises(OutsideTheChangePlan, match="leaked patients"):
        approve(here, clean.proposal_id, APPROVER, "the test", NOW)


def test_a_proposal_for_a_release_that_is_no_longer_in_force_is_stale(here: Site) -> None:
    """Promoting one withdraws what else was judged against its parent; a parent that was exchanged by hand refuses too."""
    first, second = proposed(here), proposed(here, recalibrated(here), replace(PASSED, kind=ChangeKind.CALIBRATION), window="2026-04")
    approve(here, first.proposal_id, APPROVER, "the test", NOW)
    assert get_proposal(here.ledger, second.proposal_id).state is ProposalState.WITHDRAWN
    third = proposed(here, tuned(here, release_id=first.release_id), window="2026-05")
    put_in_force(here.ledger, SHIPPED_RELEASE, "the test")
    with pytest.raises(ProposalStale):
        approve(here, third.proposal_id, APPROVER, "the test", NOW)


def test_a_window_proposes_once_and_promotes_once(here: Site) -> None:
    """The same window gives the same proposal, also after it was rolled back; and no second promotion of its domain."""
    proposal = proposed(here)
    assert proposed(here, tuned(here, shift=0.1)) == proposal
    approve(here, proposal.proposal_id, APPROVER, "the test", NOW)
    assert back(here) == SHIPPED_RELEASE
    assert proposed(here).state is ProposalState.ROLLED_BACK
    with pytest.raises(IllegalTransition):
        approve(here, proposal.proposal_id, APPROVER, "the test", NOW)
    other = proposed(here, recalibrated(here), replace(PASSED, kind=ChangeKind.CALIBRATION))
    with pytest.raises(WindowPromotedBefore):
        approve(here, other.proposal_id, APPROVER, "the test", NOW)


def test_a_newer_proposal_takes_the_place_of_one_that_waits(here: Site) -> None:
    """Of a kind, domain and scanner key one proposal waits at most."""
    older, newer = proposed(here), proposed(here, window="2026-04")
    assert get_proposal(here.ledger, older.proposal_id).state is ProposalState.WITHDRAWN
    assert [each.proposal_id for each in list_proposals(here.ledger, (ProposalState.PASSED,))] == [newer.proposal_id]


def test_rolling_back_goes_to_the_parent_or_as_far_as_asked(here: Site) -> None:
    """One command goes one step or several, marks every proposal on the way, and knows no release that it did not come from."""
    first = approve(here, proposed(here).proposal_id, APPROVER, "the test", NOW)
    change = tuned(here, release_id=first.release_id)
    second = approve(here, proposed(here, change, window="2026-04").proposal_id, APPROVER, "the test", NOW)
    with pytest.raises(NothingToRollBackTo, match=SHIPPED_RELEASE):
        back(here, "no-such")
    assert back(here, SHIPPED_RELEASE) == SHIPPED_RELEASE
    states = [get_proposal(here.ledger, each.proposal_id).state for each in (first, second)]
    assert states == [ProposalState.ROLLED_BACK, ProposalState.ROLLED_BACK]
    with pytest.raises(NothingToRollBackTo):
        back(here)


def test_nothing_takes_effect_by_itself_unless_the_plan_says_so(tmp_path: Path) -> None:
    """Without a word in the plan an approver is needed; with it the change plan is named as the approver."""
    careful = site(tmp_path)
    proposal = proposed(careful)
    assert approve_automatically(careful, NOW) == []
    daring = replace(careful, plan=ChangePlan(automatic=(ChangeKind.FINE_TUNING,)))
    assert approve_automatically(daring, NOW) == []  # it was judged under the other plan
    assert get_proposal(careful.ledger, proposal.proposal_id).state is ProposalState.REFUSED
    (tmp_path / "other").mkdir()
    other = site(tmp_path / "other", daring.plan)
    assert proposed(other).state is ProposalState.PASSED
    assert [each.approver for each in approve_automatically(other, NOW)] == ["the change plan"]


def test_a_release_folder_that_somebody_put_there_is_not_taken_for_the_approved_one(here: Site) -> None:
    """A folder under the name of the release to be, with another bank in it, is refused, and what was in force stays."""
    proposal = proposed(here)
    other = approve(here, proposal.proposal_id, APPROVER, "the test", NOW)
    back(here)
    (here.folder / other.release_id / "banks" / f"{DOMAIN}.safetensors").write_bytes(b"another")
    with here.ledger.transaction() as session:
        session.connection().exec_driver_sql("UPDATE proposal SET state = 'passed'")
    with pytest.raises(ReleaseDamaged):
        approve(here, proposal.proposal_id, APPROVER, "the test", NOW)
    assert release_in_force(here.ledger) == SHIPPED_RELEASE


def die(*_: object, **__: object) -> None:
    """End this process as nothing can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


KILLED_BY: dict[str, tuple[object, str] | None] = {
    "before the approval is a row": (proposals, "approve"),
    "before the release is written": (promotion, "write_release"),
    "while the release is written": (writing, "_rename"),
    "before the release is looked at": (promotion, "_check_release"),
    "before it is in force": (proposals, "put_promoted_in_force"),
    "in the transaction that puts it in force": (proposals, "_withdraw_stale"),
    "once it is in force": None,
}


def approve_and_die(folder: Path, proposal_id: str, step: str) -> None:
    """What a process does that is killed at this step."""
    at = KILLED_BY[step]
    if at is not None:
        setattr(*at, die)
    approve(reopened(folder, ledger_url=f"sqlite:///{folder}/ledger.sqlite"), proposal_id, APPROVER, "the test", NOW)
    die()


@pytest.mark.parametrize("step", KILLED_BY)
def test_killed_at_any_step_the_old_or_the_new_release_is_in_force_and_it_goes_on(tmp_path: Path, step: str) -> None:
    """SIGKILL of the process at each step leaves one of both in force, whole, and whoever comes next finishes it, once."""
    here = site(tmp_path)
    proposal = proposed(here)
    process = multiprocessing.get_context("fork").Process(target=approve_and_die, args=(tmp_path, proposal.proposal_id, step))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    after = reopened(tmp_path, ledger_url=f"sqlite:///{tmp_path}/ledger.sqlite")
    in_force = release_in_force(after.ledger)
    assert in_force == (proposal.release_id if step == "once it is in force" else SHIPPED_RELEASE)
    after.shelf.verify(in_force)
    resume(after, NOW)
    done = approve(after, proposal.proposal_id, APPROVER, "the test", NOW)
    assert done.state is ProposalState.PROMOTED
    assert release_in_force(after.ledger) == proposal.release_id
    after.shelf.verify(proposal.release_id)
    assert [entry.action for entry in audit.entries(after.ledger)].count("proposal promoted") == 1
    assert not [path for path in after.folder.iterdir() if path.name.startswith(f".{proposal.release_id}-")]


def test_a_point_of_one_scanner_is_promoted_beside_its_domains(here: Site) -> None:
    """A calibration adds that scanner's operating point and moves no bank at all."""
    change = recalibrated(here)
    proposal = approve(here, proposed(here, change, replace(PASSED, kind=ChangeKind.CALIBRATION)).proposal_id, APPROVER, "the test", NOW)
    made = here.shelf.load(proposal.release_id).release
    assert made.banks == change.parent.release.banks
    assert made.operating_points == {**change.parent.release.operating_points, KEY: change.operating_points[KEY]}
