"""``releases proposals | show | approve | reject | rollback | withhold``: what a person types, and what comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from harness.exams import DOMAIN
from harness.proposals import APPROVER, proposed, site
from typer.testing import CliRunner

from dosremc_node.cli import app
from dosremc_node.errors import ApproverNotNamed, OnlyByApproval
from dosremc_node.ledger.releases import release_in_force
from dosremc_node.recalibration.proposing import Site
from dosremc_node.settings import SHIPPED_RELEASE


@pytest.fixture
def here(tmp_path: Path) -> Site:
    return site(tmp_path)


def typed(here: Site, *words: str) -> Result:
    """What the command answers."""
    settings = [f"database.url={here.ledger.url}", f"releases.folder={here.folder}"]
    return CliRunner().invoke(app, ["releases", *words, *(each for one in settings for each in ("--set", one))])


def test_from_the_list_to_the_release_and_back(here: Site) -> None:
    """A proposal is listed, shown with its report, approved by name, in force, and rolled back in one command."""
    proposal = proposed(here)
    [listed] = json.loads(typed(here, "proposals", "--json").stdout)
    assert (listed["proposal_id"], listed["state"]) == (proposal.proposal_id, "passed")
    shown = json.loads(typed(here, "show", proposal.proposal_id, "--json").stdout)
    assert Path(shown["report"]).is_file()
    assert "better on later exams" in typed(here, "show", proposal.proposal_id).stdout
    assert typed(here, "approve", proposal.proposal_id, "--approver", APPROVER).exit_code == 0
    assert release_in_force(here.ledger) == proposal.release_id
    assert json.loads(typed(here, "proposals", "--json").stdout) == []
    assert typed(here, "rollback", "--reason", "recall doubled").exit_code == 0
    assert release_in_force(here.ledger) == SHIPPED_RELEASE
    [last] = json.loads(typed(here, "proposals", "--all", "--json").stdout)
    assert (last["state"], last["reason"]) == ("rolled-back", "recall doubled")


def test_without_an_approver_nothing_is_approved(here: Site) -> None:
    """A missing name is a wrong command, an empty one an error that says what is asked."""
    proposal = proposed(here)
    assert typed(here, "approve", proposal.proposal_id).exit_code == 2
    assert isinstance(typed(here, "approve", proposal.proposal_id, "--approver", " ").exception, ApproverNotNamed)
    assert release_in_force(here.ledger) == SHIPPED_RELEASE


def test_a_rolled_back_release_does_not_come_back_by_another_command(here: Site) -> None:
    """``releases promote`` is for releases made elsewhere: one that was made of a proposal here needs its approval."""
    proposal = proposed(here)
    typed(here, "approve", proposal.proposal_id, "--approver", APPROVER)
    typed(here, "rollback", "--reason", "recall doubled")
    assert isinstance(typed(here, "promote", proposal.release_id).exception, OnlyByApproval)
    assert release_in_force(here.ledger) == SHIPPED_RELEASE


def test_a_proposal_is_rejected_with_a_reason(here: Site) -> None:
    """It is refused, and stands so in the list of all."""
    proposal = proposed(here)
    assert typed(here, "reject", proposal.proposal_id, "--reason", "the unit is being serviced").exit_code == 0
    [refused] = json.loads(typed(here, "proposals", "--all", "--json").stdout)
    assert (refused["state"], refused["reason"]) == ("refused", "the unit is being serviced")


def test_a_domain_is_withheld_and_shown_again(here: Site) -> None:
    """One command hides it, one lists it, one shows it again."""
    assert typed(here, "withhold", DOMAIN, "--reason", "after the service visit").exit_code == 0
    [hidden] = json.loads(typed(here, "withheld", "--json").stdout)
    assert (hidden["domain"], hidden["reason"]) == (DOMAIN, "after the service visit")
    assert typed(here, "lift", DOMAIN).exit_code == 0
    assert json.loads(typed(here, "withheld", "--json").stdout) == []
