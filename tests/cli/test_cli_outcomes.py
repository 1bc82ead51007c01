"""The commands for outcomes, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from harness.outcomes import EXAMINED, JANE, REPORT, exam
from typer.testing import CliRunner

from dosremc_node.cli import app
from dosremc_node.ledger import Ledger, audit, open_ledger
from dosremc_node.ledger.audit_arm import draw
from dosremc_node.ledger.outcomes import enter_report
from dosremc_node.records import Laterality, PatientIdentifier

Type = Callable[..., Result]
NOW = datetime.combine(EXAMINED, datetime.min.time(), UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def type_(ledger: Ledger) -> Type:
    """Type `dosremc-node ...` against that ledger."""

    def typed(*arguments: str) -> Result:
        where = [] if "template" in arguments else ["--set", f"database.url={ledger.url}"]
        return CliRunner().invoke(app, [*arguments, *where])

    return typed


def answered(result: Result) -> Any:
    """What a command printed as JSON."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_what_waits_is_listed_with_its_text_and_resolved(ledger: Ledger, type_: Type) -> None:
    """The person sees why, reads the text, says which breast, and nothing waits any more."""
    study = exam(ledger)
    number = enter_report(ledger, replace(REPORT, laterality=None, text="mamma, Seite nicht genannt"), NOW)
    shown = type_("outcomes", "review").stdout
    assert "which breast" in shown
    assert "Seite nicht genannt" in shown
    assert "1 outcomes wait for a person" in type_("status").stdout
    settled = answered(type_("outcomes", "resolve", str(number), "--breast", "L", "--reason", "asked", "--json"))
    assert (settled["state"], settled["study_id"], settled["laterality"]) == ("matched", study, "L")
    assert answered(type_("outcomes", "review", "--json")) == []
    assert [each["outcome_id"] for each in answered(type_("outcomes", "list", "--state", "matched", "--json"))] == [number]
    status = answered(type_("status", "--json"))
    assert (status["outcomes"]["matched"], status["labels"]["maker"]["positive"]) == (1, 1)


def test_a_resolution_that_says_nothing_is_a_wrong_command_and_one_of_nothing_an_error(type_: Type) -> None:
    """Exit code 2 for what was typed wrong, 1 for what is not there."""
    assert type_("outcomes", "resolve", "1").exit_code == 2
    assert type_("outcomes", "resolve", "1", "--dismiss").exit_code == 1
    assert type_("outcomes", "revoke", "1").exit_code == 1


def test_files_are_imported_once(type_: Type, tmp_path: Path) -> None:
    """The template is such a file. The same one again has nothing new; a file that cannot be read is named, and enters nothing."""
    file = tmp_path / "outcomes.csv"
    file.write_text(type_("outcomes", "template").stdout)
    first = answered(type_("outcomes", "import", str(file), "--json"))
    assert first["reports"] == first["new"] > 0
    assert answered(type_("outcomes", "import", str(file), "--json"))["new"] == 0
    broken = tmp_path / "broken.csv"
    broken.write_text("<html>")
    assert type_("outcomes", "import", str(broken)).exit_code == 1


def test_an_objection_is_entered_listed_and_revoked(ledger: Ledger, type_: Type) -> None:
    """It says how many studies it takes out; who typed it stands in the trail."""
    study = exam(ledger)
    entered = answered(type_("outcomes", "object", "JANE", "--issuer", "HOSPITAL", "--reason", "letter", "--json"))
    assert entered == {"objection": 1, "studies": [study]}
    assert [each["patient"]["patient_id"] for each in answered(type_("outcomes", "objections", "--json"))] == ["JANE"]
    assert type_("outcomes", "revoke", "1", "--reason", "she agrees").exit_code == 0
    assert answered(type_("outcomes", "objections", "--json")) == []
    assert {entry.action for entry in audit.entries(ledger)} >= {"enter objection", "revoke objection"}


def test_the_audit_arm_is_followed_until_its_outcomes_come(ledger: Ledger, type_: Type) -> None:
    """An exam of which one breast is still pending is open; with both known it is listed only where all are asked for."""
    now = datetime.now(UTC)
    study = exam(ledger, on=now.date())
    exam(ledger, PatientIdentifier("MARY"), on=now.date(), positive=True)
    draw(ledger, 1.0, now)
    (listed,) = answered(type_("outcomes", "audit-arm", "--json"))
    assert (listed["study_id"], listed["left"], listed["right"]) == (study, "pending", "pending")
    for place, side in enumerate(Laterality):
        enter_report(ledger, replace(REPORT, laterality=side, identifier=f"R{place}", patient=JANE, examined_on=now.date()), now)
    assert answered(type_("outcomes", "audit-arm", "--json")) == []
    (listed,) = answered(type_("outcomes", "audit-arm", "--all", "--json"))
    assert (listed["left"], listed["right"]) == ("positive", "positive")


@pytest.mark.parametrize("command", ["import", "template", "list", "review", "resolve", "object", "objections", "revoke", "audit-arm"])
def test_each_command_has_an_example(command: str) -> None:
    """In its help, as it would be typed."""
    assert f"Example: dosremc-node outcomes {command}" in " ".join(CliRunner().invoke(app, ["outcomes", command, "--help"]).output.split())
