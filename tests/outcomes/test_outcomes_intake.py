"""From a message or a file to rows of the ledger: durable, idempotent, and seen where it fails."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from harness.messages import fields, message
from typer.testing import CliRunner

from dosremc_node import outcome_intake, outcomes
from dosremc_node.cli import app
from dosremc_node.errors import LedgerUnavailable
from dosremc_node.ledger import Ledger, open_ledger
from dosremc_node.ledger.audit import first_broken_link
from dosremc_node.ledger.messages import MessageState, message_counts, refused_messages
from dosremc_node.ledger.outcomes import list_outcomes
from dosremc_node.messages import Answering
from dosremc_node.node import Node
from dosremc_node.outcome_intake import OutcomeIntake
from dosremc_node.outcomes.folder import WatchedFolder
from dosremc_node.records import OutcomeStatus
from dosremc_node.settings import MessageSettings, OutcomeSettings, Settings

PATIENT = "PID|1||4711^^^HOSPITAL^MR||DOE^JANE"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "outcomes"
    made.mkdir()
    return made


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is finished once two looks in a row saw it as it is."""
    monkeypatch.setattr(outcome_intake, "WatchedFolder", partial(WatchedFolder, quiet_seconds=0))


def node(ledger: Ledger, **values: Any) -> Node:
    """As much of a node as the intake uses."""
    return cast("Node", SimpleNamespace(ledger=ledger, settings=Settings(outcomes=OutcomeSettings(**values))))


def send(ledger: Ledger, *segments: str) -> list[str]:
    """Send a message to the listener's answering; its MSA."""
    answering = Answering(ledger, MessageSettings(), dict.fromkeys(outcomes.TYPES, outcomes.check))
    (answer,) = answering.answer(message("ORU^R01", *segments), "127.0.0.1")
    return fields(answer)


def result(status: str = "F", number: str = "S26-1", side: str = "80248007") -> tuple[str, ...]:
    order = f"OBR|1||{number}|11529-5^Surgical pathology^LN|||20260228"
    return PATIENT, order, f"OBX|1|CWE|22637-3^Final^LN||82711006^IDC^SCT||||||{status}|||||||||{side}^^SCT"


def states(ledger: Ledger) -> dict[MessageState, int]:
    return {state: count for (_, state), count in message_counts(ledger).items()}


def test_a_result_is_kept_before_it_is_acknowledged_and_worked_on_after(ledger: Ledger) -> None:
    """A result is answered AA and waits; then its report is in the ledger, once, and the message is applied."""
    assert send(ledger, *result())[1] == "AA"
    assert (states(ledger), list_outcomes(ledger)) == ({MessageState.WAITING: 1}, [])
    for _ in range(2):
        OutcomeIntake(node(ledger)).look()
    assert states(ledger) == {MessageState.APPLIED: 1}
    (outcome,) = list_outcomes(ledger)
    assert (outcome.identifier, outcome.source, outcome.diagnosis) == ("S26-1", "RIS at HOSPITAL", "malignant")
    assert first_broken_link(ledger) is None


def test_a_result_that_cannot_be_worked_on_is_refused_before_it_is_kept(ledger: Ledger) -> None:
    """A result of no patient is answered AE with ERR, and its refusal is there to be seen."""
    answering = Answering(ledger, MessageSettings(), dict.fromkeys(outcomes.TYPES, outcomes.check))
    (answer,) = answering.answer(message("ORU^R01", "PID|1||", "OBR|1||S1"), "127.0.0.1")
    assert fields(answer)[1] == "AE"
    assert fields(answer, "ERR")[2:4] == ["PID^1^3", "101^Required field missing^HL70357"]
    (refused,) = refused_messages(ledger)
    assert "PID-3 has no identifier" in refused.reason


def test_versions_are_entered_in_the_order_in_which_they_came(ledger: Ledger) -> None:
    """A final result, its correction to the other side and its withdrawal, worked on in one go, are three versions of one result."""
    for status, side in (("F", "80248007"), ("C", "73056007"), ("W", "73056007")):
        send(ledger, *result(status, side=side))
    OutcomeIntake(node(ledger)).look()
    found = sorted(list_outcomes(ledger), key=lambda each: each.outcome_id)
    assert [(each.identifier, each.status) for each in found] == [
        ("S26-1", OutcomeStatus.FINAL),
        ("S26-1", OutcomeStatus.CORRECTED),
        ("S26-1", OutcomeStatus.WITHDRAWN),
    ]


def test_a_killed_worker_leaves_a_message_that_waits(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the report and the message's settlement, or without a ledger, the next worker enters the report no second time."""
    send(ledger, *result())

    def away(*_: object) -> None:
        raise LedgerUnavailable(why="OperationalError")

    for step in ("enter_report", "settle_message"):
        with monkeypatch.context() as patch:
            patch.setattr(outcome_intake, step, away)
            with pytest.raises(LedgerUnavailable):
                OutcomeIntake(node(ledger)).look()
    assert (states(ledger), len(list_outcomes(ledger))) == ({MessageState.WAITING: 1}, 1)
    OutcomeIntake(node(ledger)).look()
    assert (states(ledger), len(list_outcomes(ledger))) == ({MessageState.APPLIED: 1}, 1)


def test_one_message_that_brings_the_reader_down_holds_up_no_other(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that fails in a way that nobody thought of is refused with its reason, and `dosremc-node messages` shows it without its patient."""
    send(ledger, *result(number="BAD"))
    send(ledger, *result(number="GOOD"))
    enter = outcome_intake.enter_report

    def fails(ledger: Ledger, report: Any, *more: Any) -> int:
        if report.identifier == "BAD":
            raise ValueError("DOE^JANE")
        return enter(ledger, report, *more)

    monkeypatch.setattr(outcome_intake, "enter_report", fails)
    OutcomeIntake(node(ledger)).look()
    assert [each.identifier for each in list_outcomes(ledger)] == ["GOOD"]
    url = str(ledger.url)
    shown = CliRunner().invoke(app, ["messages", "--set", f"database.url={url}", "--json"])
    answer = json.loads(shown.stdout)
    assert [(each["type"], each["state"], each["messages"]) for each in answer["counts"]] == [
        ("ORU^R01", "applied", 1),
        ("ORU^R01", "refused", 1),
    ]
    assert "unexpected ValueError" in answer["refused"][0]["reason"]
    assert "DOE" not in shown.stdout


def test_files_of_every_kind_are_imported_and_moved(ledger: Ledger, folder: Path) -> None:
    """A table, a bundle and a file of messages put into the folder are entered and moved to done; what is none is refused."""
    (folder / "a.csv").write_text("identifier,patient_id,laterality,diagnosis\nT1,4711,R,benign\n")
    (folder / "b.hl7").write_bytes(message("ORU^R01", *result(number="H1")) + message("ORU^R01", *result(number="H2")))
    report = {
        "resourceType": "DiagnosticReport",
        "id": "F1",
        "status": "final",
        "subject": {"identifier": {"value": "4711"}},
        "code": {"text": "left breast"},
        "conclusionCode": [{"coding": [{"system": "http://snomed.info/sct", "code": "82711006"}]}],
    }
    (folder / "c.json").write_text(json.dumps(report))
    (folder / "d.csv").write_text("identifier,patient_id,laterality,diagnosis\nT2,4711,R,benign\nT3,4711,X,benign\n")
    for file in folder.iterdir():
        os.utime(file, (0, 0))
    intake = OutcomeIntake(node(ledger, folder=folder))
    for _ in range(3):
        intake.look()
    assert sorted(each.identifier for each in list_outcomes(ledger)) == ["F1", "H1", "H2", "T1"]
    assert {each.name for each in (folder / "done").iterdir()} == {"a.csv", "b.hl7", "c.json"}
    assert {each.name for each in (folder / "refused").iterdir()} == {"d.csv", "d.csv.reason"}


def test_a_file_that_is_imported_again_changes_nothing(ledger: Ledger, folder: Path) -> None:
    """The same file again, as after a crash between its reports and its move, enters nothing twice."""
    for _ in range(2):
        (folder / "a.csv").write_text("identifier,patient_id,laterality,diagnosis\nT1,4711,R,benign\nT2,4711,L,malignant\n")
        os.utime(folder / "a.csv", (0, 0))
        intake = OutcomeIntake(node(ledger, folder=folder))
        intake.look()
        intake.look()
    assert len(list_outcomes(ledger)) == 2
