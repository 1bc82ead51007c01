"""From a candidate to a proposal: the look that it is paid by, the report for whoever decides."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from harness.exams import DOMAIN, KEY, NOW, exam
from harness.proposals import enter, parent, site

from dosremc_node.evaluation import sigmoid
from dosremc_node.ledger.exams import AssessedExam
from dosremc_node.ledger.label_rules import Label
from dosremc_node.ledger.looks import Family, exams_of, judged_until
from dosremc_node.ledger.proposals import Proposal
from dosremc_node.ledger.states import ProposalState
from dosremc_node.recalibration.candidates import Situation, calibrated
from dosremc_node.recalibration.change_plan import ChangePlan
from dosremc_node.recalibration.cohort import Cohort, cohort_of
from dosremc_node.recalibration.judging import put_forward
from dosremc_node.recalibration.proposal_folder import folder_of
from dosremc_node.recalibration.proposing import Site
from dosremc_node.records import LabelState, Laterality

EXAMS = 600


def live(here: Site, first: int, shift: float, seed: int) -> Cohort:
    """Exams of one image each, whose scores lie ``shift`` above what their labels say, with all their labels known."""
    random, point = np.random.default_rng(seed), parent(here).release.operating_points[DOMAIN]
    logits = random.normal(-1.0, 1.2, EXAMS)
    malignant = random.random(EXAMS) < sigmoid(point.slope * logits + point.intercept - 2.0)
    found: list[AssessedExam] = []
    for number in range(EXAMS):
        logit, day = float(logits[number]) + (shift - 2.0) / point.slope, NOW.date() + timedelta(days=first // 1000 + number // 50)
        made = exam(first + number, logit=logit, day=day)
        found.append(made)
    labels = {
        (made.study_id, Laterality.LEFT): _label(LabelState.POSITIVE if cancer else LabelState.CONFIRMED_NEGATIVE)
        for made, cancer in zip(found, malignant, strict=True)
    }
    enter(here, found)
    return cohort_of(found, labels, {made.study_id: first + place for place, made in enumerate(found)})


def _label(state: LabelState) -> Label:
    return Label(state, None, NOW, 1.0)


def situation(here: Site) -> Situation:
    loaded = parent(here)
    nobody = cohort_of([], {}, {}).scores
    return Situation(loaded, DOMAIN, DOMAIN, here.plan, nobody, loaded.release.operating_points[DOMAIN])


def put(here: Site, cohort: Cohort, window: str) -> Proposal:
    judged = judged_until(here.ledger, Family("calibration", DOMAIN, KEY))
    candidate = calibrated(situation(here), KEY, cohort, judged)
    return put_forward(here, situation(here), candidate, window=window, proposer="recalibrate", now=NOW)


@pytest.fixture
def here(tmp_path: Path) -> Site:
    return site(tmp_path, ChangePlan())


def test_a_shifted_scanner_is_recalibrated_and_its_exams_judge_once(here: Site) -> None:
    """Scores that promise too much pass the gate by later exams, which are entered as such; asked again the window answers the same."""
    cohort = live(here, 0, shift=2.0, seed=1)
    proposal = put(here, cohort, "2026-03")
    assert (proposal.state, proposal.reason) == (ProposalState.PASSED, "better on later exams")
    assert proposal.look_id is not None
    fitted, judged = exams_of(here.ledger, proposal.look_id)
    taken = {each.study_id: each.taken_on for each in cohort.exams}
    assert max(taken[each] for each in fitted) <= min(taken[each] for each in judged)
    assert (
        put_forward(here, situation(here), calibrated(situation(here), KEY, cohort, None), window="2026-03", proposer="x", now=NOW)
        == proposal
    )
    again = put_forward(here, situation(here), calibrated(situation(here), KEY, cohort, None), window="2026-04", proposer="x", now=NOW)
    assert again.state is ProposalState.REFUSED
    assert "have judged" in again.reason
    numbers = json.loads(proposal.decision)["numbers"]
    assert 0 < numbers["expected_share"] < 1
    assert numbers["upper"] < 0


def test_a_scanner_that_has_not_changed_stays_as_it_is(here: Site) -> None:
    """Refused, with the p value; the look is spent all the same."""
    proposal = put(here, live(here, 0, shift=0.0, seed=2), "2026-03")
    assert (proposal.state, proposal.reason) == (ProposalState.REFUSED, "nothing has changed, as far as the outcomes can tell")
    assert json.loads(proposal.decision)["numbers"]["p"] > json.loads(proposal.decision)["numbers"]["alpha"]
    assert judged_until(here.ledger, Family("calibration", DOMAIN, KEY)) is not None


def test_when_the_looks_are_spent_nothing_is_judged(here: Site) -> None:
    """Beyond the planned looks a proposal is refused for that, and its exams stay unused."""
    spent = replace(here, plan=ChangePlan.model_validate({"looks": {"planned": 1}}))
    assert put(spent, live(here, 0, shift=2.0, seed=1), "2026-03").state is ProposalState.PASSED
    later = put(spent, live(here, 10_000, shift=2.0, seed=3), "2026-04")
    assert later.state is ProposalState.REFUSED
    assert "no further look" in later.reason
    assert later.look_id is None


def test_the_report_shows_both_sides_and_nobody(here: Site) -> None:
    """Figures, operating points and pictures of champion and challenger, self-contained, without scripts, and without a woman in it."""
    proposal = put(here, live(here, 0, shift=2.0, seed=1), "2026-03")
    folder = folder_of(here.folder, proposal.proposal_id)
    facts = json.loads((folder / "report.json").read_text())
    sides = facts["scanners"][KEY]
    assert sides["proposed"]["log_loss"] < sides["in force"]["log_loss"]
    assert abs(sides["proposed"]["intercept"]["value"]) < abs(sides["in force"]["intercept"]["value"])
    assert facts["decision"]["numbers"] == json.loads(proposal.decision)["numbers"]
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    for forbidden in ("<script", "http://", "https://", "S-0000", "1.2.S-"):
        assert forbidden not in page
        assert forbidden not in (folder / "report.json").read_text()
