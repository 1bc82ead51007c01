"""A disaster, and a node made again from its backup."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.node import RunningNode, send_to, wait_until

from dosremc_node.simulation import SimulatedExam
from dosremc_node.simulation.stand_in_pacs import StandInPacs

pytestmark = pytest.mark.system

ExamOf = Callable[..., SimulatedExam]
StartNode = Callable[..., RunningNode]


def wreck(node: RunningNode) -> None:
    """Kill it, and lose its disk."""
    node.kill()
    for path in (*node.folder.glob("*.sqlite*"), node.settings.storage.folder):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_node_is_made_again_from_its_backup(stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf, tmp_path: Path) -> None:
    """Nothing acknowledged before the backup is lost, nothing that was on the PACS is there twice, and the trail accounts for the gap."""
    node = start_node(stand_in_pacs, options=[f"audit.anchors_file={tmp_path}/anchors"])
    out = str(tmp_path / "backup")
    send_to(node, [image.content for image in exam_of("A", 1).images])
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the first study is done")
    assert node.run("backup", out).returncode == 0
    # The ledger may know of a step that the engine does not, as after a crash, never the other way round.
    (engine,), (ledger,) = ((tmp_path / "backup").glob(f"*/{name}.sqlite") for name in ("engine", "ledger"))
    assert engine.stat().st_mtime_ns <= ledger.stat().st_mtime_ns
    images, documents = node.artifacts("images"), node.artifacts("documents")
    later = [image.content for image in exam_of("B", 1).images]
    send_to(node, later)
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"] * 2, "the second study is done")
    on_pacs = set(stand_in_pacs.instances())

    wreck(node)
    assert node.run("restore", out).returncode == 0
    assert (node.artifacts("images"), node.artifacts("documents")) == (images, documents)
    node.start()
    assert [study["state"] for study in node.studies()] == ["done"]
    send_to(node, later)
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"] * 2, "what was sent again is done")
    assert set(stand_in_pacs.instances()) == on_pacs
    verified = node.run("audit", "verify")
    assert verified.returncode == 0, verified.stdout


def test_a_damaged_backup_and_a_node_that_is_there_are_refused(
    stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf, tmp_path: Path
) -> None:
    """Neither is a good node written over, nor a bad one made."""
    node = start_node(stand_in_pacs)
    out = tmp_path / "backup"
    assert node.run("backup", str(out)).returncode == 0
    there = node.run("restore", str(out))
    assert there.returncode == 1
    assert "already a database" in there.stderr
    wreck(node)
    (ledger,) = out.glob("*/ledger.sqlite")
    ledger.write_bytes(ledger.read_bytes()[:-1])
    damaged = node.run("restore", str(out))
    assert damaged.returncode == 1
    assert "not what was backed up" in damaged.stderr
    assert not list(node.folder.glob("*.sqlite"))
