"""The benchmark as a program: killed on the way, begun again, and its folder read by another program."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import permutations
from pathlib import Path

import pytest

from dosremc_node.network.methods import METHODS
from dosremc_node.network.science import PRESETS
from dosremc_node.network.science.rows import rows

QUICK = PRESETS["quick"]
COMMAND = (sys.executable, "-m", "dosremc_node", "science", "--preset", "quick", "--processes", "2", "--out")


def cells_in(folder: Path) -> dict[Path, int]:
    """The cells that are there, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in (folder / "cache" / "cells").glob("[!.]*.npz")}


def killed_on_the_way(folder: Path, cells: int) -> None:
    """Run the command until so many cells are there, and kill it with everything that it started."""
    process = subprocess.Popen([*COMMAND, str(folder)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 600
    try:
        while len(cells_in(folder)) < cells and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)  # another process writes files: there is nothing else to wait for
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_killed_run_goes_on_and_leaves_a_whole_table(tmp_path: Path) -> None:
    """Cells that were there are not made again; the folder then holds every row with its intervals, and texts that agree with them."""
    killed_on_the_way(tmp_path, cells=8)
    before = cells_in(tmp_path)
    assert len(before) >= 8
    finished = subprocess.run([*COMMAND, str(tmp_path)], capture_output=True, text=True, check=True, timeout=1200)
    after = cells_in(tmp_path)
    assert before.items() <= after.items()
    _assert_whole_table(json.loads((tmp_path / "table.json").read_text()))
    words = re.findall(r"^\d\. \*\*(held|held in part|did not hold)\*\*", (tmp_path / "hypotheses.md").read_text(), re.MULTILINE)
    assert len(words) == 8
    shown = " ".join(finished.stdout.split())
    assert all(word in shown for word in words)
    for name in ("README.md", "table.md", "hypotheses.md"):
        assert "simulated images" in (tmp_path / name).read_text()
    assert len(list(tmp_path.glob("*.png"))) == 12


def _assert_whole_table(entries: list[dict[str, object]]) -> None:
    found = {(entry["method"], entry["source"], entry["target"], entry["level"]) for entry in entries}
    for row in rows(QUICK):
        for level in ("breast", "image"):
            assert {(row.name, *pair, level) for pair in permutations("ABC", 2)} <= found
    assert {entry["base_method"] for entry in entries} == set(METHODS)
    for entry in entries:
        for figure in (entry["roc_auc"], entry["pr_auc"]):
            assert isinstance(figure, dict)
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    same = [entry for entry in entries if entry["base_method"] == "domain_banks"]
    untouched = {(entry["source"], entry["target"], entry["level"]): entry for entry in entries if entry["method"] == "unadapted"}
    for entry in same:
        before = untouched[entry["source"], entry["target"], entry["level"]]  # type: ignore[index]
        assert entry["roc_auc_on_source"] == before["roc_auc_on_source"]
