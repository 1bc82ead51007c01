"""In shadow and in service: a change that flags too many exams, or too few, is not approved, or is taken back by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from harness.exams import DOMAIN, NOW, exam
from harness.proposals import APPROVER, PASSED, enter, proposed, recalibrated, site, tuned
from numpy.typing import NDArray

from dosremc_node.errors import ArtifactMissing, StillInShadow
from dosremc_node.ledger import audit
from dosremc_node.ledger.exams import AssessedExam
from dosremc_node.ledger.proposals import Proposal, get_proposal
from dosremc_node.ledger.releases import release_in_force
from dosremc_node.ledger.shadows import lift, shadow_exams, withheld
from dosremc_node.ledger.states import ProposalState
from dosremc_node.recalibration.change_plan import ChangeKind, ChangePlan, GuardAction
from dosremc_node.recalibration.guard import Watched, guard
from dosremc_node.recalibration.promotion import approve
from dosremc_node.recalibration.proposing import Site
from dosremc_node.recalibration.shadow import score_in_shadow
from dosremc_node.records import Domain, Laterality
from dosremc_node.settings import SHIPPED_RELEASE, ReleaseSettings, Settings

EXAMS = 60


def plan(shadow: int = 0, action: GuardAction = GuardAction.ROLL_BACK) -> ChangePlan:
    return ChangePlan.model_validate({"guard": {"exams": EXAMS, "shadow_exams": shadow, "recall_band": 0.1, "action": action}})


def in_service(of: Site, window: str = "2026-03", release: str = SHIPPED_RELEASE) -> Proposal:
    """A promoted bank that is expected to flag one exam in five."""
    return approve(of, proposed(of, tuned(of, release_id=release), window=window).proposal_id, APPROVER, "the test", NOW)


def some(first: int, release_id: str, *, positive: int, count: int = EXAMS, days: int = 1) -> list[AssessedExam]:
    """So many of them positive, spread over all."""
    day = (NOW + timedelta(days=days)).date()
    flagged = [(each + 1) * positive // count > each * positive // count for each in range(count)]
    return [exam(first + each, release_id=release_id, positive=flagged[each], day=day) for each in range(count)]


def guarded(of: Site) -> list[Watched]:
    return list(guard(of.ledger, Settings(releases=ReleaseSettings(folder=of.folder)), of.plan, NOW))


def nothing(_digest: str, _side: Laterality) -> NDArray[np.float32]:
    raise ArtifactMissing(key="images/none")


def told(of: Site) -> Iterable[tuple[str, str]]:
    return [(entry.action, entry.actor) for entry in audit.entries(of.ledger)]


# --- In service -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("positive", "stays"), [(12, True), (17, True), (19, False), (0, False)])
def test_a_share_outside_the_band_rolls_back_by_itself(tmp_path: Path, positive: int, stays: bool) -> None:
    """One in five expected, a tenth either way allowed: more or fewer put the parent back in force, in the trail as the node's deed."""
    here = site(tmp_path, plan())
    proposal = in_service(here)
    enter(here, some(0, proposal.release_id, positive=positive))
    [watched] = guarded(here)
    assert watched.exams == EXAMS
    assert watched.flagged == pytest.approx(positive / EXAMS)
    assert release_in_force(here.ledger) == (proposal.release_id if stays else SHIPPED_RELEASE)
    state = get_proposal(here.ledger, proposal.proposal_id)
    assert state.state is (ProposalState.PROMOTED if stays else ProposalState.ROLLED_BACK)
    assert (("proposal rolled-back", "node") in told(here)) is not stays
    if not stays:
        assert state.reason.startswith("guard band: ")
        assert guarded(here) == []


def test_the_guard_waits_for_enough_exams_of_the_change_itself(tmp_path: Path) -> None:
    """Exams of another release do not count, nor do too few."""
    here = site(tmp_path, plan())
    proposal = in_service(here)
    enter(here, some(0, SHIPPED_RELEASE, positive=EXAMS))
    enter(here, some(1000, proposal.release_id, positive=EXAMS - 1, count=EXAMS - 1))
    assert [(each.exams, each.action) for each in guarded(here)] == [(EXAMS - 1, None)]
    assert release_in_force(here.ledger) == proposal.release_id


def test_the_latest_exams_count(tmp_path: Path) -> None:
    """A change that was well for long, and then no more, trips."""
    here = site(tmp_path, plan())
    proposal = in_service(here)
    enter(here, some(0, proposal.release_id, positive=24, count=120))
    assert [each.action for each in guarded(here)] == [None]
    enter(here, some(1000, proposal.release_id, positive=20, days=2))  # 44 of all 180 would lie in the band
    assert [each.action for each in guarded(here)] == [GuardAction.ROLL_BACK]


def test_a_domain_is_withheld_where_the_plan_says_so_or_something_newer_stands_on_it(tmp_path: Path) -> None:
    """What another promotion was built on cannot be rolled back alone: its domain is not shown, and what is in force stays."""
    here = site(tmp_path, plan())
    proposal = in_service(here)
    newer = tuned(here, release_id=proposal.release_id, domain=Domain("simulated-b"))
    approve(here, proposed(here, newer, window="2026-04").proposal_id, APPROVER, "the test", NOW)
    in_force = release_in_force(here.ledger)
    enter(here, some(0, proposal.release_id, positive=EXAMS))
    assert [each.action for each in guarded(here) if each.why] == [GuardAction.WITHHOLD]
    assert release_in_force(here.ledger) == in_force
    assert withheld(here.ledger)[DOMAIN].actor == audit.NODE


def test_the_plan_can_have_a_domain_withheld_instead(tmp_path: Path) -> None:
    """With ``action = "withhold"`` nothing is rolled back, and the domain is no longer shown."""
    here = site(tmp_path, plan(action=GuardAction.WITHHOLD))
    proposal = in_service(here)
    enter(here, some(0, proposal.release_id, positive=EXAMS))
    assert [each.action for each in guarded(here)] == [GuardAction.WITHHOLD]
    assert release_in_force(here.ledger) == proposal.release_id
    assert list(withheld(here.ledger)) == [DOMAIN]


def test_a_later_change_of_a_scanner_takes_its_place(tmp_path: Path) -> None:
    """What a later calibration flags more or less is no fault of the bank below it."""
    here = site(tmp_path, plan())
    proposal = in_service(here)
    newer = proposed(
        here, recalibrated(here, release_id=proposal.release_id), replace(PASSED, kind=ChangeKind.CALIBRATION), window="2026-04", share=0.9
    )
    approve(here, newer.proposal_id, APPROVER, "the test", NOW)
    enter(here, some(0, newer.release_id, positive=54))
    assert [(each.proposal.proposal_id, each.exams, each.why) for each in guarded(here)] == [
        (newer.proposal_id, EXAMS, ""),
        (proposal.proposal_id, 0, ""),
    ]


def test_a_person_who_lifts_it_is_not_overruled_by_the_same_exams(tmp_path: Path) -> None:
    """Once shown again, a domain is judged by what comes then; until then nothing is told twice."""
    here = site(tmp_path, plan(action=GuardAction.WITHHOLD))
    proposal = in_service(here)
    enter(here, some(0, proposal.release_id, positive=EXAMS))
    assert [each.action for each in guarded(here)] == [GuardAction.WITHHOLD]
    assert [each.action for each in guarded(here)] == [None]
    lift(here.ledger, DOMAIN, "Dr A", NOW + timedelta(days=2))
    assert [(each.exams, each.why) for each in guarded(here)] == [(0, "")]
    enter(here, some(1000, proposal.release_id, positive=EXAMS, days=3))
    assert [each.action for each in guarded(here)] == [GuardAction.WITHHOLD]


# --- In the shadow ----------------------------------------------------------------------------------------------------


def shadowed(of: Site, intercept: float) -> Proposal:
    """A calibration in the shadow. With the point in force no exam of `some` is flagged whose logit is -2."""
    change = recalibrated(of, intercept)
    return proposed(of, change, replace(PASSED, kind=ChangeKind.CALIBRATION), share=0.0)


def test_a_proposal_is_not_approved_before_its_time_in_shadow_is_over(tmp_path: Path) -> None:
    """It scores the exams that come, as it would have judged them, and may be approved once there are as many as the plan asks for."""
    here = site(tmp_path, plan(shadow=EXAMS))
    proposal = shadowed(here, -0.5)
    assert proposal.state is ProposalState.SHADOW
    enter(here, some(0, SHIPPED_RELEASE, positive=10, count=20))
    assert score_in_shadow(here, nothing, NOW) == 20
    assert score_in_shadow(here, nothing, NOW) == 0
    with pytest.raises(StillInShadow, match="20 exams"):
        approve(here, proposal.proposal_id, APPROVER, "the test", NOW)
    enter(here, some(1000, SHIPPED_RELEASE, positive=10))
    score_in_shadow(here, nothing, NOW)
    seen = shadow_exams(here.ledger, proposal.proposal_id)
    assert len(seen) == EXAMS
    assert sum(each.champion_positive for each in seen) == 16
    assert not any(each.challenger_positive for each in seen)
    assert approve(here, proposal.proposal_id, APPROVER, "the test", NOW).state is ProposalState.PROMOTED


def test_a_proposal_that_flags_too_many_in_its_shadow_is_refused(tmp_path: Path) -> None:
    """Outside the band nobody is asked any more."""
    here = site(tmp_path, plan(shadow=EXAMS))
    proposal = shadowed(here, 2.9)
    enter(
        here,
        [replace(each, images=tuple(replace(view, logit=0.0) for view in each.images)) for each in some(0, SHIPPED_RELEASE, positive=0)],
    )
    score_in_shadow(here, nothing, NOW)
    refused = get_proposal(here.ledger, proposal.proposal_id)
    assert refused.state is ProposalState.REFUSED
    assert refused.reason == "guard band: 100.0% of 60 exams flagged in the shadow, 0.0% +- 10.0% expected"


def test_exams_before_and_of_other_scanners_are_not_scored(tmp_path: Path) -> None:
    """Only what came since, on the scanner that it is for, under the release that it would change."""
    here = site(tmp_path, plan(shadow=EXAMS))
    shadowed(here, -0.5)
    enter(here, some(0, SHIPPED_RELEASE, positive=0, count=5, days=-1))
    enter(here, some(10, "another", positive=0, count=5))
    enter(here, [replace(each, scanner_key="Another / Model / 1") for each in some(20, SHIPPED_RELEASE, positive=0, count=5)])
    assert score_in_shadow(here, nothing, NOW) == 0


def test_a_bank_scores_what_it_is_shown(tmp_path: Path) -> None:
    """A bank in its shadow scores the images with its own batch norms and last layer; what retention removed is left out."""
    here = site(tmp_path, plan(shadow=2))
    spec = here.shelf.load(SHIPPED_RELEASE).release.preprocessing
    proposal = proposed(here, tuned(here, 0.02))
    enter(here, some(0, SHIPPED_RELEASE, positive=0, count=2))
    here_and_gone = {f"{0:064x}": np.zeros((spec.height, spec.width), np.float32)}

    def read(digest: str, side: Laterality) -> NDArray[np.float32]:
        if digest not in here_and_gone:
            return nothing(digest, side)
        return here_and_gone[digest]

    score_in_shadow(here, read, NOW)
    assert [each.study_id for each in shadow_exams(here.ledger, proposal.proposal_id)] == ["S-000000000000"]
    with pytest.raises(StillInShadow, match="1 exams"):
        approve(here, proposal.proposal_id, APPROVER, "the test", NOW)
