"""What the node does when it is killed, when its PACS is away, and when its PACS refuses."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.node import RunningNode, send_to, wait_until

from dosremc_node.records import Laterality
from dosremc_node.simulation import SimulatedExam
from dosremc_node.simulation.pacs import Orthanc, Pacs
from dosremc_node.simulation.stand_in_pacs import StandInPacs

pytestmark = pytest.mark.system

ExamOf = Callable[..., SimulatedExam]
StartNode = Callable[..., RunningNode]


def documents_once(node: RunningNode, pacs: Pacs) -> bool:
    """Whether every document that the ledger knows is on the PACS, and nothing else."""
    rows = node.reports()
    return len(rows) == len({row["sop_instance_uid"] for row in rows}) == len(pacs.instances())


@pytest.mark.parametrize(
    "event",
    ["image_received", *(pytest.param(each, marks=pytest.mark.slow) for each in ("revision_opened", "study_assessed")), "document_sent"],
)
def test_a_node_that_is_killed_loses_nothing_that_it_acknowledged(
    event: str, stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf
) -> None:
    """Kill -9 right after Success, before and after the assessment, and during delivery: after a restart, every report, once."""
    node = start_node(stand_in_pacs)
    for vendor in ("A", "B"):
        send_to(node, [image.content for image in exam_of(vendor, 1, Laterality.RIGHT).images])
    wait_until(lambda: event in node.log.read_text(), f"the log says {event}")
    node.kill()
    node.start()
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done", "done"], "both studies are done")
    assert documents_once(node, stand_in_pacs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_kill_at_a_random_moment(seed: int, stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf) -> None:
    """Promise 1 and 3: whenever it happens."""
    node, chance = start_node(stand_in_pacs), random.Random(seed)
    for vendor in ("A", "B", "C"):
        send_to(node, [image.content for image in exam_of(vendor, 1, Laterality.RIGHT).images])
    for _ in range(2):
        time.sleep(chance.uniform(0.0, 3.0))  # not to wait for something, but to hit it at some moment
        node.kill()
        node.start()
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"] * 3, "all studies are done")
    assert documents_once(node, stand_in_pacs)


def test_reports_are_delivered_once_the_pacs_is_back(orthanc: Orthanc, start_node: StartNode, exam_of: ExamOf) -> None:
    """Orthanc is stopped while studies arrive; nobody has to do anything."""
    node = start_node(orthanc)
    orthanc.stop()
    for vendor in ("A", "B"):
        send_to(node, [image.content for image in exam_of(vendor, 1, Laterality.RIGHT).images])
    wait_until(lambda: [study["state"] for study in node.studies()] == ["delivering"] * 2, "both wait for the PACS")
    wait_until(lambda: min(row["attempts"] for row in node.reports()) >= 2, "it was tried twice")
    orthanc.start()
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"] * 2, "both are delivered")
    assert documents_once(node, orthanc)


def test_a_refused_study_is_parked_with_its_status_and_one_command_drives_it_again(
    stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf
) -> None:
    """Promise 3: visible in `status` and in the metrics, and byte for byte the same documents at the second try."""
    node = start_node(stand_in_pacs)
    stand_in_pacs.status = 0xA900
    send_to(node, [image.content for image in exam_of("A", 1, Laterality.RIGHT).images])
    wait_until(lambda: [study["state"] for study in node.studies()] == ["parked"], "the study is parked")
    (study,) = node.studies()
    assert "A900" in study["reason"]
    assert f"{study['study_id']} is parked: {study['reason']}" in node.run("status").stdout
    assert 'dosremc_studies{state="parked"} 1.0' in (node.probe("/metrics") or "")
    rendered = node.artifacts("documents")
    stand_in_pacs.status = 0x0000
    assert "due again" in node.run("retry", study["study_id"]).stdout
    wait_until(lambda: [each["state"] for each in node.studies()] == ["done"], "the study is done")
    assert node.artifacts("documents") == rendered
    assert documents_once(node, stand_in_pacs)


def test_one_destination_that_is_away_does_not_hold_up_the_other(
    stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf, tmp_path: Path
) -> None:
    """Every destination has its own deliveries, tries and end."""
    away = StandInPacs(tmp_path / "away").start()
    away.stop()
    node = start_node(stand_in_pacs, away)
    send_to(node, [image.content for image in exam_of("A", 1, Laterality.RIGHT).images])
    wait_until(lambda: stand_in_pacs.instances() and documents_of(node, "pacs") == {"delivered"}, "the first has everything")
    assert documents_of(node, "pacs1") == {"due"}


def documents_of(node: RunningNode, destination: str) -> set[str]:
    """The states of a destination's deliveries."""
    return {row["state"] for row in node.reports() if row["destination"] == destination}
