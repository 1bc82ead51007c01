"""What the supervisor does with a process that hangs, and how a node ends that is told to."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.node import RunningNode, send_to, wait_until

from dosremc_node.errors import PeerRefused
from dosremc_node.ledger import audit
from dosremc_node.ledger.overview import instance_counts
from dosremc_node.ledger.states import Standing
from dosremc_node.monitoring.audit_sinks import read_anchors
from dosremc_node.simulation import SimulatedExam, send
from dosremc_node.simulation.stand_in_pacs import StandInPacs
from dosremc_node.supervision import tell_systemd

pytestmark = pytest.mark.system

ExamOf = Callable[..., SimulatedExam]
StartNode = Callable[..., RunningNode]
_STARTED = r'"child": "{role}", "process": (\d+), "event": "process_started"'


CHILD = """
import threading
from dosremc_node.supervision import end_with_parent
stop = threading.Event()
end_with_parent(stop)
print("up", flush=True)
stop.wait()
"""
PARENT = f"""
import socket, subprocess, sys
ours, theirs = socket.socketpair()
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdin=theirs, stdout=subprocess.PIPE)
theirs.close()
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def processes(node: RunningNode, role: str) -> list[int]:
    """The processes of a role, in the order of their start."""
    return [int(each) for each in re.findall(_STARTED.format(role=role), node.log.read_text())]


@pytest.mark.parametrize("number", [signal.SIGCONT, signal.SIGSTOP])
def test_a_process_whose_supervisor_is_killed_ends_even_where_it_was_stopped(number: signal.Signals) -> None:
    """Nobody is there any more who would kill it because it hangs."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, number)
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{child}").exists() or "State:\tZ" in Path(f"/proc/{child}/status").read_text(), "it has ended", 30)


@pytest.mark.parametrize("role", ["receiver", pytest.param("worker", marks=pytest.mark.slow)])
def test_a_process_that_hangs_is_killed_and_started_again(
    role: str, stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf
) -> None:
    """Stopped, not crashed: nobody but its silence tells. The node says that it is not ready, and then does its work."""
    node = start_node(stand_in_pacs, options=["monitoring.hung_seconds=15"])
    (process,) = processes(node, role)
    os.kill(process, signal.SIGSTOP)
    wait_until(lambda: "process_hangs" in node.log.read_text(), "it is noticed")
    wait_until(lambda: len(processes(node, role)) == 2, "it is started again")
    wait_until(lambda: node.probe("/ready") == "ready\n", "the node is ready again")
    send_to(node, [image.content for image in exam_of("A", 1).images])
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")
    assert f'dosremc_process_starts_total{{role="{role}"}} 2.0' in (node.probe("/metrics") or "")


def test_a_node_that_is_told_to_stop_ends_in_time_and_goes_on_at_its_next_start(
    stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf
) -> None:
    """In the midst of receiving and assessing: it ends within its deadline with status 0, and nothing acknowledged is lost."""
    node = start_node(stand_in_pacs)
    images = [image.content for vendor in ("A", "B", "C") for image in exam_of(vendor, 1).images]
    send_to(node, images)
    wait_until(lambda: "revision_opened" in node.log.read_text(), "an assessment has begun")
    idle = socket.create_connection(("127.0.0.1", node.settings.reception.port))
    began = time.monotonic()
    assert node.stop() == 0
    idle.close()
    assert time.monotonic() - began < 45
    assert "ended_hard" not in node.log.read_text()
    assert instance_counts(node.ledger)[Standing.PRIMARY] == len(images)
    node.start()
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"] * 3, "every study is done")
    assert len(stand_in_pacs.instances()) == len(node.artifacts("documents"))


def test_a_node_accounts_for_what_it_did(stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf, tmp_path: Path) -> None:
    """Start, arrival, assessment, delivery and end are in the trail, outside it, and verified; a trail cut short is not."""
    trail, anchors = tmp_path / "audit.xml", tmp_path / "anchors"
    node = start_node(stand_in_pacs, options=[f"audit.file={trail}", f"audit.anchors_file={anchors}"])
    send_to(node, [image.content for image in exam_of("A", 1).images])
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")
    assert node.stop() == 0
    actions = [entry.action for entry in audit.entries(node.ledger)]
    assert actions[:2] == ["release in force", "start application"]
    assert {"receive instances", "assess study", "send documents"} < set(actions)
    assert actions[-1] == "stop application"
    assert len(trail.read_bytes().splitlines()) == len(actions) == read_anchors(anchors)[-1].sequence
    assert node.run("audit", "verify").returncode == 0
    assert '"action": "read audit trail"' in node.run("audit", "list", "--json").stdout
    with anchors.open("a") as file:
        file.write('{"audit_anchor": 999, "sha256": "' + "0" * 64 + '", "at": "2026-01-01T00:00:00+00:00"}\n')
    verified = node.run("audit", "verify")
    assert verified.returncode == 1
    assert "were cut off at the end" in verified.stdout


def test_who_is_refused_is_counted_and_audited(stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf) -> None:
    """A stranger, and an object that is none: in the trail with who and why, in the metrics without a line for each stranger."""
    node = start_node(stand_in_pacs, options=['reception.peers=[{ae_title = "MAMMO"}]'])
    port = node.settings.reception.port
    with pytest.raises(PeerRefused):
        send([exam_of("A", 1).images[0].content], "127.0.0.1", port, called=node.settings.node.ae_title, calling="INTRUDER")
    wait_until(lambda: any(entry.action == "refuse association" for entry in audit.entries(node.ledger)), "it is in the trail")
    (entry,) = (entry for entry in audit.entries(node.ledger) if entry.action == "refuse association")
    assert (entry.subject, entry.detail["peer_address"]) == ("INTRUDER", "127.0.0.1")
    assert 'dosremc_refused_total{calling_ae_title="others",kind="association"' in (node.probe("/metrics") or "")
    assert "INTRUDER" not in (node.probe("/metrics") or "")


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A datagram on the socket that the service manager names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        tell_systemd("READY=1")
        assert manager.recv(64) == b"READY=1"
