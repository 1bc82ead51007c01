"""Images are decoded in processes that may crash, hang or eat memory: it costs the image, and the next one is served."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from harness import jobs
from pydicom import uid
from pydicom.filewriter import dcmwrite

from dosremc_node.errors import (
    DecoderFailed,
    DecoderUnavailable,
    NodeStopping,
    NotAMammogram,
    NotDicom,
    UndecodableImage,
    UnknownPreprocessing,
)
from dosremc_node.imaging import DEFAULT_SPEC, ImagingWorkers, pixel_digest, prepare
from dosremc_node.imaging.decoders import read
from dosremc_node.records import Laterality, NetworkInput, PreprocessingSpec

SECONDS, MEGABYTES = 8.0, 700
PARENT = """
import sys, threading
from harness import jobs
from dosremc_node.imaging import ImagingWorkers
workers = ImagingWorkers(2, seconds=1.5, megabytes=700)
workers.start()
if sys.argv[1] == "hanging":
    threading.Thread(target=workers.run, args=(jobs.hang,)).start()
print(workers.run(jobs.identity).decode(), flush=True)
threading.Event().wait()
"""


@pytest.fixture(scope="module")
def workers() -> Iterator[ImagingWorkers]:
    """Two processes with small limits."""
    with ImagingWorkers(2, SECONDS, MEGABYTES) as started:
        yield started


def assert_same(made: NetworkInput, expected: NetworkInput) -> None:
    """To the last bit."""
    np.testing.assert_array_equal(made.pixels.view(np.uint32), expected.pixels.view(np.uint32))
    np.testing.assert_array_equal(made.breast, expected.breast)
    assert (made.pixels.dtype, made.breast.dtype) == (np.float32, np.bool_)
    assert (made.geometry, made.rows, made.columns) == (expected.geometry, expected.rows, expected.columns)


@pytest.mark.parametrize("size", [(384, 192), (1024, 512)])
def test_the_same_bits_as_in_the_own_process(size: tuple[int, int], workers: ImagingWorkers, shared_data: Path) -> None:
    """Network input and digest of a real mammogram do not depend on the process that makes them."""
    path, spec = (
        shared_data / "fo-dicom" / "GH133.dcm",
        PreprocessingSpec(*size, DEFAULT_SPEC.grey_scale, DEFAULT_SPEC.crop, DEFAULT_SPEC.normalisation),
    )
    assert_same(workers.prepare(path, spec, Laterality.RIGHT), prepare(path, spec, Laterality.RIGHT))
    assert workers.pixel_digest(path) == pixel_digest(path)


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (jobs.crash, "it dies of SIGSEGV"),
        (jobs.hang, f"it takes longer than {SECONDS:g} s"),
        (jobs.eat_memory, "it needs more than 700 MB"),
        (jobs.end, "it ends with status 9"),
        (jobs.fail, r"unexpected ValueError \(jobs.py, line \d+\)"),
    ],
)
def test_the_next_image_is_served(job: Callable[[], bytes], why: str, workers: ImagingWorkers, make_file: Any, breast: Any) -> None:
    """Whatever a decoder does, it is refused with its reason and without its words, and both processes work on."""
    path = make_file(breast())
    expected = prepare(path, DEFAULT_SPEC, Laterality.LEFT)
    with pytest.raises(UndecodableImage, match=why) as raised:
        workers.run(job)
    assert isinstance(raised.value, DecoderFailed)
    assert "KANARIENVOGEL" not in str(raised.value)
    for _ in range(3):
        assert_same(workers.prepare(path, DEFAULT_SPEC, Laterality.LEFT), expected)


def test_a_deflated_image_that_swells(workers: ImagingWorkers, make_file: Any, breast: Any) -> None:
    """A few megabytes of deflated zeros that become two gigabytes are refused by the limit, and the next image is served."""
    good = make_file(breast())
    dataset = read(good)
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    bomb = good.with_suffix(".bomb")
    dcmwrite(bomb, dataset, enforce_file_format=True)
    content = bomb.read_bytes()
    header = content[: 144 + int.from_bytes(content[140:144], "little")]  # up to the end of the group whose length stands there
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    megabyte = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    bomb.write_bytes(header + 2048 * megabyte)
    with pytest.raises(DecoderFailed, match="needs more than 700 MB"):
        workers.pixel_digest(bomb)
    assert workers.pixel_digest(good) == pixel_digest(good)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_stream_is_refused(share: float, workers: ImagingWorkers, make_file: Any, breast: Any) -> None:
    """A JPEG 2000 file that ends too early gives no input, wherever it ends."""
    path = make_file(breast())
    dataset = read(path)
    dataset.compress(uid.JPEG2000Lossless)
    whole = path.with_suffix(".whole")
    dataset.save_as(whole)
    cut = path.with_suffix(".cut")
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises((UndecodableImage, NotDicom)):
        workers.prepare(cut, DEFAULT_SPEC, Laterality.LEFT)


def test_the_preparations_own_refusals_come_back_as_they_are(workers: ImagingWorkers, make_file: Any, breast: Any, tmp_path: Path) -> None:
    """What is no mammogram, no DICOM, or not this program's preprocessing is told apart on this side as well."""
    path = make_file(breast())
    with pytest.raises(NotAMammogram, match="it is blank"):
        workers.prepare(make_file(np.zeros((600, 400), np.uint16)), DEFAULT_SPEC, Laterality.LEFT)
    with pytest.raises(UnknownPreprocessing, match="'something else'"):
        workers.prepare(path, PreprocessingSpec(384, 192, "something else", DEFAULT_SPEC.crop, DEFAULT_SPEC.normalisation), Laterality.LEFT)
    (tmp_path / "text").write_text("no DICOM")
    with pytest.raises(NotDicom, match="no DICOM Part 10 header"):
        workers.pixel_digest(tmp_path / "text")


def test_a_process_killed_from_outside_costs_no_image(workers: ImagingWorkers, tmp_path: Path) -> None:
    """Only an image that harms a new process as well is to blame."""
    assert workers.run(jobs.crash_once, tmp_path / "trace") == b"done"


def test_so_many_jobs_run_at_once_and_the_others_wait(workers: ImagingWorkers, tmp_path: Path) -> None:
    """Two jobs that wait for each other both end; many more than there are processes all come to their turn, in two processes."""
    one, other = tmp_path / "one", tmp_path / "other"
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(lambda pair: workers.run(jobs.meet, *pair), [(one, other), (other, one)])) == [b"met", b"met"]
        assert len(set(threads.map(lambda _: workers.run(jobs.identity), range(64)))) <= 2


def test_a_crash_leaves_no_picture_behind(workers: ImagingWorkers) -> None:
    """A core dump would be a patient's image in a folder that nobody looks after."""
    assert workers.run(jobs.largest_core_dump) == b"0"


def test_stopping_blames_no_image() -> None:
    """Who waits for an answer when the node stops, or asks later, is told so, and does not take it for a refusal."""
    stopping = ImagingWorkers(1, 60.0, MEGABYTES)
    stopping.start()
    raised: list[BaseException] = []

    def wait() -> None:
        with pytest.raises(NodeStopping) as caught:
            stopping.run(jobs.hang)
        raised.append(caught.value)

    waiting = Thread(target=wait)
    waiting.start()
    deadline = time.monotonic() + 10
    while not stopping._free.empty() and time.monotonic() < deadline:
        time.sleep(0.005)
    stopping.stop()
    waiting.join(10)
    assert len(raised) == 1
    with pytest.raises(NodeStopping):
        stopping.run(jobs.identity)


def test_a_process_that_cannot_confine_itself_takes_no_image() -> None:
    """A limit that the machine cannot set is told at the start, and no image is decoded without one."""
    with pytest.raises(DecoderUnavailable, match=r"status 1\. See `worker\.decoding_megabytes`"):
        ImagingWorkers(1, SECONDS, 1 << 60).start()


@pytest.mark.parametrize("state", ["idle", "hanging"])
def test_nothing_outlives_a_parent_that_is_killed(state: str) -> None:
    """After kill -9 of the parent neither a process for jobs remains, be it in the midst of one, nor the server that forks them."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    with subprocess.Popen([sys.executable, "-c", PARENT, state], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        family = descendants(parent.pid)
        assert worker in family
        assert len(family) >= 4  # two workers, the server, multiprocessing's tracker
        parent.kill()
    deadline = time.monotonic() + 15
    while left := [pid for pid in family if is_alive(pid)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def descendants(ancestor: int) -> set[int]:
    """The processes below a process."""
    parents = {}
    for entry in Path("/proc").iterdir():
        status = entry / "status"
        if entry.name.isdigit() and status.exists():
            found = re.search(r"^PPid:\s+(\d+)", status.read_text(), re.MULTILINE)
            parents[int(entry.name)] = int(found[1]) if found else 0
    family: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in {ancestor, *family}} - family:
        family |= more
    return family


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to take note of its end does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
