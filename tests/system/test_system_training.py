"""From a data set to a release by the command line: index, train, lose the power, go on, adapt to another scanner, measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import datasets
from harness.node import wait_until
from typer.testing import CliRunner

from dosremc_node.cli import app
from dosremc_node.records import Domain, Laterality, View
from dosremc_node.releases import ReleaseShelf

pytestmark = pytest.mark.system

SIZE = ("--height", "64", "--width", "32", "--batch", "8", "--processes", "1", "--device", "cpu")
VIEWS = ((Laterality.LEFT, View.CC), (Laterality.LEFT, View.MLO))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dosremc_node", *map(str, arguments)]


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two vendors' women in the layout of a published data set, every second with a cancer, and their index."""
    folder = tmp_path_factory.mktemp("training")
    exams = [
        (f"{vendor}{number}".lower(), vendor, Laterality.LEFT if number % 2 else None, "test" if number >= 14 else "training")
        for vendor in "AB"
        for number in range(20)
    ]
    datasets.write_vindr(folder / "set", exams, VIEWS)
    made = CliRunner().invoke(app, ["data", "index", "vindr", str(folder / "set"), "--out", str(folder / "index.csv")])
    assert "80 images in" in made.stderr, made.output
    return folder


def train(folder: Path, releases: str, *more: str) -> list[str]:
    arguments = ("--domain", "simulated-a", "--epochs", 4, "--releases", releases, *SIZE, *more)
    return command("train", "release", "first", "--index", "index.csv", *arguments)


def test_train_go_on_adapt_and_evaluate(folder: Path) -> None:
    """A training that is killed after an epoch ends in the bits of one that was not; the other vendor's bank leaves filters and the
    first bank alone; its figures are written as JSON with their intervals.
    """
    whole = subprocess.run(train(folder, "whole"), cwd=folder, capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    killed = subprocess.Popen(train(folder, "killed"), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: list((folder / "killed").glob(".first-*.checkpoint")), "an epoch is done")
    killed.kill()
    assert killed.wait() == -9
    assert not (folder / "killed" / "first").exists()
    again = subprocess.run([*train(folder, "killed"), "--json"], cwd=folder, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    first, other = (ReleaseShelf([folder / name]).load("first").release for name in ("whole", "killed"))
    assert json.loads(again.stdout)["release"]["filters_sha256"] == first.filters_sha256 == other.filters_sha256
    assert first.banks == other.banks
    assert first.operating_points == other.operating_points
    assert list((folder / "killed").glob(".*")) == []

    adapted = run(
        folder, "adapt", "first", "second", "--index", "index.csv", "--domain", "simulated-b", "--epochs", 2, "--releases", "whole",
        "--batch", 8, "--processes", 1, "--device", "cpu",
    )  # fmt: skip
    assert "second with banks for simulated-a, simulated-b" in adapted.stdout
    shelf = ReleaseShelf([folder / "whole"])
    shelf.verify("second")
    second = shelf.load("second").release
    assert (second.parent, second.filters_sha256, second.backbone_sha256) == ("first", first.filters_sha256, first.backbone_sha256)
    assert second.banks[Domain("simulated-a")] == first.banks[Domain("simulated-a")]
    assert second.banks[Domain("simulated-b")].sha256 != first.banks[Domain("simulated-a")].sha256

    measured = run(folder, "evaluate", "second", "--index", "index.csv", "--out", "figures.json", "--releases", "whole", "--device", "cpu")
    assert "ROC-AUC (DeLong)" in measured.stdout
    figures: dict[str, Any] = json.loads((folder / "figures.json").read_text())
    assert [each["domain"] for each in figures["domains"]] == ["simulated-a", "simulated-b"]
    for each in figures["domains"]:
        found = each["performance"]
        assert (found["cases"], found["malignant"], each["images"], each["bank"]) == (6, 3, 12, each["domain"])
        for name in ("roc_auc", "pr_auc"):
            assert 0 <= found[name]["low"] <= found[name]["value"] <= found[name]["high"] <= 1
        for name in ("brier", "calibration_slope", "calibration_intercept", "expected_over_observed", "at_threshold"):
            assert name in found
        assert 0 <= each["sensitivity"]["value"] <= 1
