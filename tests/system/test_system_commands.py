"""What an administrator types, on a running node: fetch, doctor, roles of their own, PostgreSQL, and what is refused at the start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.node import RunningNode, send_to, wait_until
from sqlalchemy import create_engine, make_url, text

from dosremc_node.records import Laterality
from dosremc_node.simulation import SimulatedExam, send
from dosremc_node.simulation.pacs import Orthanc
from dosremc_node.simulation.stand_in_pacs import StandInPacs, free_port

pytestmark = pytest.mark.system

ExamOf = Callable[..., SimulatedExam]
StartNode = Callable[..., RunningNode]


def test_fetch_gets_a_study_from_the_pacs_and_has_it_assessed(orthanc: Orthanc, start_node: StartNode, exam_of: ExamOf) -> None:
    """C-FIND and C-MOVE: the study was never sent to the node, and its report is on the PACS all the same."""
    node, exam = start_node(orthanc), exam_of("A", 1, Laterality.RIGHT)
    send([image.content for image in exam.images], orthanc.host, orthanc.port, called=orthanc.ae_title)
    fetched = node.run("fetch", "--from", "pacs", "--study", exam.study_instance_uid)
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")
    assert len(orthanc.instances()) == len(exam.images) + len(node.artifacts("documents"))
    missing = node.run("fetch", "--from", "pacs", "--accession", "NOWHERE")
    assert (missing.returncode, "no mammography study" in missing.stderr) == (1, True)


def test_doctor_is_content_with_a_running_node_and_names_what_is_wrong(stand_in_pacs: StandInPacs, start_node: StartNode) -> None:
    """Exit code 0 where all is well; 1, and the fault in words, where the PACS does not answer."""
    node = start_node(stand_in_pacs)
    content = node.run("doctor")
    assert content.returncode == 0, content.stdout
    stand_in_pacs.stop()
    ailing = node.run("doctor", "--json")
    wrong = [finding["subject"] for finding in json.loads(ailing.stdout) if finding["verdict"] == "wrong"]
    assert (ailing.returncode, wrong) == (1, ["destination pacs"])


def test_each_role_runs_as_a_process_of_its_own(stand_in_pacs: StandInPacs, tmp_path: Path, exam_of: ExamOf) -> None:
    """The receiver takes images in while no worker runs; the worker does the rest once it is there."""
    node = RunningNode(tmp_path / "node", [stand_in_pacs])
    with node.role("receiver"):
        wait_until(lambda: "reception_started" in node.log.read_text(), "the receiver listens")
        send_to(node, [image.content for image in exam_of("A", 1, Laterality.RIGHT).images])
        assert [study["state"] for study in node.studies()] == ["receiving"]
    with node.role("worker"):
        wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")
    assert len(stand_in_pacs.instances()) == len(node.artifacts("documents")) > 0


def test_the_node_runs_on_postgresql(stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf, postgresql_url: str) -> None:
    """One setting each for ledger and engine; killed in the midst of it, it goes on."""
    urls = {
        name: make_url(postgresql_url).set(database=f"system_{name}").render_as_string(hide_password=False) for name in ("ledger", "engine")
    }
    server = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        for name in urls:
            connection.execute(text(f"CREATE DATABASE system_{name}"))
    server.dispose()
    node = start_node(stand_in_pacs, options=[f"database.url={urls['ledger']}", f"database.engine_url={urls['engine']}"])
    send_to(node, [image.content for image in exam_of("A", 1, Laterality.RIGHT).images])
    wait_until(lambda: "revision_opened" in node.log.read_text(), "the assessment began")
    node.kill()
    node.start()
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")
    assert len(stand_in_pacs.instances()) == len(node.artifacts("documents")) > 0


@pytest.mark.parametrize(
    ("option", "exit_code", "words"),
    [
        ('destinations=[{name="pacs", ae_title="PACS", host="127.0.0.1", port=104}]', 1, "not marked as a test one"),
        ("reception.port=0", 2, "--set reception.port: reception.port = 0 is wrong"),
        ("releases.initial=nowhere", 1, "There is no release nowhere"),
        ("studies.domains_file=/nowhere.toml", 2, "domains_file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(option: str, exit_code: int, words: str, tmp_path: Path) -> None:
    """Promise 14 among them: demonstration weights refuse a clinical destination. Nothing listens, nothing is written."""
    options = [
        f"storage.folder={tmp_path}/artifacts",
        f"database.url=sqlite:///{tmp_path}/l.sqlite",
        f"monitoring.port={free_port()}",
        option,
    ]
    command = [sys.executable, "-m", "dosremc_node", "serve", *(word for each in options for word in ("--set", each))]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert ended.returncode == exit_code, ended.stderr
    assert words in " ".join(ended.stderr.split())
