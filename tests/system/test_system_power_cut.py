"""What a power cut leaves: the order in which the receiver, as it is installed, asks the kernel to keep things (promise 1)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.node import RunningNode, wait_until
from harness.system_calls import SystemCall, read_trace

from dosremc_node.simulation import SimulatedExam, send

pytestmark = pytest.mark.system

SYNCING = ("fsync", "fdatasync")
NAMING = ("rename", "renameat", "renameat2")


def test_success_is_said_only_of_what_a_power_cut_leaves(tmp_path: Path, exam_of: Callable[..., SimulatedExam]) -> None:
    """Of each object: the file synced, renamed, its folder synced, the ledger's log synced, and only then the response."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    node, trace = RunningNode(tmp_path / "node", [], "reception.keep_free_megabytes=0"), tmp_path / "trace"
    # The tracer is the grandchild, so that the node is what is ended.
    calls = ",".join((*SYNCING, *NAMING, "sendto"))
    process = node.start_role("receiver", strace, "-D", "-f", "-y", "-s", "0", "-e", f"trace={calls}", "-o", str(trace))
    wait_until(lambda: "reception_started" in node.log.read_text(), f"the receiver listens, see {node.log}")
    answers = send([image.content for image in exam_of().images], "127.0.0.1", node.settings.reception.port, called="DOSREMC")
    process.terminate()
    assert process.wait(timeout=60) == 0
    wait_until(lambda: re.search(rf"^{process.pid} +\+\+\+ exited", trace.read_text(), re.MULTILINE), "the trace is whole")
    assert [answer.status for answer in answers] == [0] * len(exam_of().images)
    seen = read_trace(trace)
    assert_in_order(seen, list(node.artifacts("images")))


def assert_in_order(seen: list[SystemCall], names: list[str]) -> None:
    """Objects came one after the other on one association, whose first answer is its acceptance and whose last the release's."""
    digests = {Path(name).name for name in names}
    renames = [call for call in seen if call.name in NAMING and any(digest in call.what for digest in digests)]
    # Others are told things as well, over other sockets.
    connection = first(seen, ("sendto",), r"socket", renames[0].ended).what.partition(",")[0]
    responses = [call for call in seen if call.name == "sendto" and call.what.startswith(connection)]
    assert len(renames) == len(digests) > 1
    assert len(responses) == len(renames) + 2
    for before, rename, response in zip(responses, renames, responses[1:-1], strict=False):
        between = [call for call in seen if call.thread == rename.thread and before.ended < call.began and call.ended < response.began]
        (digest,) = (digest for digest in digests if digest in rename.what)
        synced = first(between, SYNCING, r"\.incoming>", before.ended)
        assert synced.ended < rename.began
        folder = first(between, SYNCING, rf"/images/{digest[:2]}>", rename.ended)
        assert first(between, SYNCING, r"/ledger\.sqlite-wal>", folder.ended).ended < response.began


def first(calls: list[SystemCall], names: tuple[str, ...], pattern: str, after: int) -> SystemCall:
    """The first such call that began after a place in the trace."""
    return next(call for call in calls if call.name in names and call.began > after and re.search(pattern, call.what))
