"""The PACS of demonstrations and tests: Orthanc and the stand-in answer alike, and neither outlives its parent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import psycopg
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, generate_uid

from dosremc_node.simulation.pacs import Orthanc, Pacs, StandInPacs, start_pacs

Dcmtk = Callable[[str], str]
START_AN_ORTHANC_AND_WAIT = """
import sys
from pathlib import Path
from dosremc_node.simulation.pacs import Orthanc
orthanc = Orthanc(Path(sys.argv[1])).start()
print(orthanc._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["orthanc", "stand_in_pacs"])
def pacs(request: pytest.FixtureRequest) -> Pacs:
    """Each kind of PACS in turn."""
    started: Pacs = request.getfixturevalue(request.param)
    return started


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A small structured report of an invented study."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = ComprehensiveSRStorage, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientID, dataset.PatientName, dataset.Modality = "1", "Somebody^Invented", "SR"
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.StudyID = ""
    path = tmp_path / "report.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def send(dcmtk: Dcmtk, pacs: Pacs, path: Path, *options: str) -> int:
    command = [dcmtk("dcmsend"), *options, "-aec", pacs.ae_title, pacs.host, str(pacs.port), str(path)]
    return subprocess.run(command, check=False, capture_output=True).returncode


def query(dcmtk: Dcmtk, pacs: Pacs, *keys: str) -> str:
    arguments = [argument for key in keys for argument in ("-k", key)]
    command = [dcmtk("findscu"), "-S", "-aec", pacs.ae_title, *arguments, pacs.host, str(pacs.port)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return answer.stdout + answer.stderr


def test_what_is_sent_is_there(dcmtk: Dcmtk, pacs: Pacs, report: Path) -> None:
    """What another program stores is counted, found by its UID and fetched back unchanged, once however often it is sent."""
    sent = dcmread(report)
    assert [send(dcmtk, pacs, report) for _ in range(2)] == [0, 0]
    assert pacs.studies() == [sent.StudyInstanceUID]
    [instance] = pacs.instances()
    assert dcmread(BytesIO(pacs.fetch(instance))) == sent
    keys = ("QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={sent.StudyInstanceUID}", f"SeriesInstanceUID={sent.SeriesInstanceUID}")
    assert sent.SOPInstanceUID in query(dcmtk, pacs, *keys, "SOPInstanceUID")
    assert sent.SOPInstanceUID not in query(dcmtk, pacs, *keys, f"SOPInstanceUID={generate_uid()}")


def test_a_restart_loses_nothing(dcmtk: Dcmtk, pacs: Pacs, report: Path) -> None:
    """Stopped, nobody can store; started again, it listens where it did and has what it had."""
    assert send(dcmtk, pacs, report) == 0
    before = pacs.instances()
    pacs.stop()
    assert send(dcmtk, pacs, report) != 0
    pacs.start()
    assert send(dcmtk, pacs, report) == 0
    assert pacs.instances() == before


def test_the_stand_in_refuses_when_told(dcmtk: Dcmtk, stand_in_pacs: StandInPacs, report: Path) -> None:
    """The status that it is told to answer is the one that a sender reads, and nothing is kept."""
    stand_in_pacs.status = 0xA700
    command = [dcmtk("storescu"), "-v", "-aec", stand_in_pacs.ae_title, stand_in_pacs.host, str(stand_in_pacs.port), str(report)]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "Refused: OutOfResources" in answer.stdout + answer.stderr
    assert stand_in_pacs.instances() == []


def test_orthanc_knows_whom_it_serves(dcmtk: Dcmtk, orthanc: Orthanc, report: Path) -> None:
    """Orthanc refuses an AE title that it does not know, until it is told of it."""
    assert send(dcmtk, orthanc, report, "-aet", "NEWCOMER") != 0
    orthanc.knows("NEWCOMER", 1)
    assert send(dcmtk, orthanc, report, "-aet", "NEWCOMER") == 0


def test_the_best_pacs_there_is(tmp_path: Path, orthanc: Orthanc) -> None:
    """Where Orthanc is installed, it is the one that is started."""
    assert type(start_pacs(tmp_path)) is type(orthanc)


def test_orthanc_dies_with_its_parent(tmp_path: Path, orthanc: Orthanc) -> None:
    """However its parent dies, Orthanc does not outlive it."""
    command = [sys.executable, "-c", START_AN_ORTHANC_AND_WAIT, str(tmp_path / "second")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        watch = os.pidfd_open(pid)
        parent.send_signal(signal.SIGKILL)
    assert _ended(watch)


def _ended(pidfd: int) -> bool:
    """Wait until the process behind the descriptor has ended, for ten seconds at most."""
    readable, _, _ = select.select([pidfd], [], [], 10)
    os.close(pidfd)
    return bool(readable)


def test_postgresql_answers(postgresql_url: str) -> None:
    """The PostgreSQL that tests are given takes connections and lets them make databases."""
    with psycopg.connect(postgresql_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE one_more")
        connection.execute("DROP DATABASE one_more")
