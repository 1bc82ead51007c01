"""The rules on real scores: vendor A, the same women after a software update, vendor B. Always split by woman."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from harness.scores import operating_point, real_scores, sample, women, write_table
from typer.testing import CliRunner

from dosremc_node.cli import app
from dosremc_node.errors import ScoreTableUnreadable
from dosremc_node.evaluation import Estimate, calibrated
from dosremc_node.recalibration import (
    ChangePlan,
    Scores,
    align,
    calibrate,
    expected_over_observed,
    judge_calibration,
    read_change_plan,
    read_score_table,
    replay,
    weighted,
)
from dosremc_node.recalibration.comparison import log_losses
from dosremc_node.records import OperatingPoint

REFERENCE = 1000


@pytest.fixture(scope="module")
def tables(shared_data: Path) -> dict[str, Scores]:
    return {name: real_scores(shared_data / "upa-scores", name) for name in ("A", "A_after_update", "B")}


def specificity(scores: Scores, point: OperatingPoint) -> float:
    return float((calibrated(scores.logits, point)[~scores.malignant] < point.threshold).mean())


@pytest.mark.parametrize("shifted", ["A_after_update", "B"])
def test_250_unlabelled_exams_bring_the_specificity_back(tables: dict[str, Scores], shifted: str) -> None:
    """Aligned with 250 exams, a shifted scanner has in the mean the specificity of .82 +- .02 again that it had lost."""
    random, found, lost = np.random.default_rng(0), [], []
    for _ in range(40):
        order = random.permutation(len(tables["A"]))
        reference = women(tables["A"], order[:REFERENCE])
        # After the update the women are the same: those of the reference must not come again.
        there = order[REFERENCE:] if shifted == "A_after_update" else random.permutation(len(tables[shifted]))
        live, later = women(tables[shifted], there[:250]), women(tables[shifted], there[250:])
        point = operating_point(reference)
        lost.append(specificity(later, point))
        found.append(specificity(later, align(point, reference, live)))
    assert np.mean(lost) < 0.62
    assert abs(np.mean(found) - 0.82) <= 0.02


def promoted(tables: dict[str, Scores], shifted: str, events: int, resamples: int) -> tuple[float, list[float]]:
    """The share of resamples in which the gate lets a calibration through in one look, and the change of the log loss on a third set."""
    plan = ChangePlan.model_validate({"looks": {"planned": 1}})
    random, changes = np.random.default_rng(1), []
    for _ in range(resamples):
        order = random.permutation(len(tables["A"]))
        reference = women(tables["A"], order[:REFERENCE])
        source = tables[shifted] if shifted == "B" else women(tables[shifted], order[REFERENCE:])
        fitted = sample(source, events, random)
        rest = random.permutation(np.setdiff1d(np.arange(len(source)), fitted))
        judged, third = (women(source, part) for part in np.array_split(rest, 2))
        point = operating_point(reference)
        proposal = calibrate(point, women(source, fitted))
        if judge_calibration(plan, point, proposal, judged).passed:
            changes.append(float(log_losses(third, proposal.point).mean() - log_losses(third, point).mean()))
    return len(changes) / resamples, changes


@pytest.mark.parametrize("events", [10, 50])
def test_a_scanner_that_did_not_change_keeps_its_calibration(tables: dict[str, Scores], events: int) -> None:
    """Of resamples in which nothing has changed, hardly any is promoted."""
    share, _ = promoted(tables, "A", events, 60)
    assert share <= 0.05


def test_a_scanner_that_did_change_gets_a_better_calibration(tables: dict[str, Scores]) -> None:
    """With 50 events on another vendor at least four in five proposals pass, and those that do are better on women whom nobody has used."""
    share, changes = promoted(tables, "B", 50, 40)
    assert share >= 0.8
    assert np.mean(np.array(changes) > 0.002) <= 0.05
    assert np.mean(changes) < 0


def test_an_audit_arm_undoes_verification_bias(tables: dict[str, Scores]) -> None:
    """With labels for the recalled and one in ten of the others, expected over observed is right in the mean, and its interval covers."""
    random, found = np.random.default_rng(2), list[Estimate]()
    for _ in range(150):
        order = random.permutation(len(tables["A"]))
        fitted, seen = women(tables["A"], order[:1600]), women(tables["A"], random.choice(order[1600:], len(order) - 1600))
        point = operating_point(fitted, 0.95)
        of_exam = np.zeros(len(seen), bool)
        of_exam[np.unique(seen.exams[calibrated(seen.logits, point) >= point.threshold])] = True
        known = of_exam | (random.random(len(seen)) < 0.1)
        scores = Scores(seen.exams, seen.logits, seen.malignant, known[seen.exams], seen.dates, seen.weights)
        found.append(expected_over_observed(weighted(scores, of_exam[seen.exams], 0.1)[0], point))
    assert 0.9 < np.mean([each.value for each in found]) < 1.12
    assert np.mean([each.low <= 1 <= each.high for each in found]) > 0.85


def test_replay_tells_the_update_from_quiet_months(tables: dict[str, Scores], tmp_path: Path) -> None:
    """In a history with a software update and a new vendor, nothing changes in the quiet months; update and vendor alarm soon and are aligned."""
    order = np.random.default_rng(3).permutation(len(tables["A"]))
    before, after = women(tables["A"], order[:2000]), women(tables["A_after_update"], order[2000:])
    parts = [("A", before, date(2024, 1, 1)), ("A", after, date(2024, 4, 1)), ("B", tables["B"], date(2024, 2, 1))]
    result = replay(read_score_table(write_table(tmp_path / "scores.csv", parts)), ChangePlan(), 0.82)
    of = {key: [event for event in result.events if event.scanner_key == key and "refused" not in event.what] for key in ("A", "B")}
    assert of["A"][0].month == "2024-04"
    assert of["A"][0].numbers["after_exams"] < 1000 + 60  # a thousand quiet ones after the reference
    assert of["B"].pop(0).what == "in the shadow"
    assert of["B"][0].numbers["after_exams"] < 60
    for key in of:
        assert [event.what for event in of[key][:2]] == ["alarm", "alignment promoted"]
        assert result.operating_points[key].alignment


def test_a_new_key_stays_in_the_shadow_until_a_change_of_its_own_passes(tables: dict[str, Scores], tmp_path: Path) -> None:
    """With too few exams to align, a second scanner ends without any operating point."""
    few = women(tables["B"], np.arange(200))
    table = write_table(tmp_path / "scores.csv", [("A", tables["A"], date(2024, 1, 1)), ("B", few, date(2024, 2, 1))])
    assert set(replay(read_score_table(table), ChangePlan(), 0.82).operating_points) == {"A"}


def test_too_few_later_outcomes_are_named_and_refused(tables: dict[str, Scores]) -> None:
    """A hold-out in which nothing is known gives a refusal with its rule, not a figure."""
    point = operating_point(women(tables["A"], np.arange(REFERENCE)))
    proposal = calibrate(point, tables["B"])
    unknown = replace(women(tables["B"], np.arange(50)), known=np.zeros(200, bool))
    decision = judge_calibration(ChangePlan(), point, proposal, unknown)
    assert not decision.passed
    assert "insufficient evidence" in decision.rule


def test_the_command_prints_what_a_program_reads(tables: dict[str, Scores], tmp_path: Path) -> None:
    """``recalibrate replay --json`` names events, operating points and the rules that it had to skip."""
    table = write_table(tmp_path / "scores.csv", [("A", tables["A"], date(2024, 1, 1))])
    ran = CliRunner().invoke(app, ["recalibrate", "replay", "--table", str(table), "--json"])
    said = json.loads(ran.stdout)
    assert ran.exit_code == 0
    assert {"events", "operating_points", "skipped"} == set(said)
    assert said["skipped"]


def test_a_table_that_cannot_be_used_is_refused_by_its_line(tmp_path: Path) -> None:
    """A pending label is never read as a negative, and a row that makes no sense is named."""
    head = "case_id,view_id,scanner_key,logit,label,label_state,date\n"
    (tmp_path / "pending.csv").write_text(head + "1,1,k,0.5,0,pending,2024-01-01\n1,2,k,0.1,1,positive,2024-01-01\n")
    (scores,) = read_score_table(tmp_path / "pending.csv").values()
    assert scores.known.tolist() == [False, True]
    for row in (
        "1,1,k,nan,0,pending,2024-01-01",
        "1,1,k,0.5,2,positive,2024-01-01",
        "1,1,k,0.5,,positive,2024-01-01",
        "1,1,k,0.5,1,maybe,2024-01-01",
    ):
        (tmp_path / "bad.csv").write_text(head + "0,1,k,0.5,0,pending,2024-01-01\n" + row + "\n")
        with pytest.raises(ScoreTableUnreadable, match="line 3"):
            read_score_table(tmp_path / "bad.csv")


def test_the_shipped_plan_is_the_default() -> None:
    """Who reads the file reads what is in force where nothing is set."""
    assert read_change_plan() == ChangePlan()
