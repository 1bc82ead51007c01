"""Whether the node's memory grows: all its processes together, while 200 studies of full size (JPEG-LS) go through."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from threading import Event, Thread

from harness.studies import copy_of_study

from bench.exams import JPEG_LS, full_size_study
from bench.measuring import Result, Scope
from bench.nodes import LEDGER_POLL_SECONDS, Watched, watched_node
from dosremc_node.ledger.states import StudyState

STUDIES, FIRST = 200, 20
UNFINISHED_AT_MOST = 4
SAMPLE_SECONDS = 0.5
PAGE = os.sysconf("SC_PAGE_SIZE")


def run(scope: Scope) -> Iterator[Result]:
    """`memory`: by how many percent the median over the last 20 studies is above the median over the 20 after the first 20."""
    studies, first = (12, 3) if scope.quick else (STUDIES, FIRST)
    images = [path.read_bytes() for path in full_size_study(scope.data, JPEG_LS)]
    with watched_node(scope.work) as watched:
        samples = _samples(watched, images, studies)
    early = median(resident for done, resident in samples if first <= done < 2 * first)
    late = median(resident for done, resident in samples if done >= studies - first)
    further = {"megabytes_early": early / 1e6, "megabytes_late": late / 1e6}
    yield Result("memory", (late / early - 1) * 100, "percent growth", further=further)


def _samples(watched: Watched, images: list[bytes], studies: int) -> list[tuple[int, int]]:
    """How many studies were done and how many bytes were resident, again and again while all are sent and assessed."""
    samples, end = [], Event()

    def sample() -> None:
        while not end.wait(SAMPLE_SECONDS):
            samples.append((watched.finished(StudyState.DONE), _resident(watched.node.process_group)))

    thread = Thread(target=sample)
    thread.start()
    for number in range(studies):
        while number - watched.finished(StudyState.DONE) >= UNFINISHED_AT_MOST:
            time.sleep(LEDGER_POLL_SECONDS)
        watched.send(copy_of_study(images, f"W{number}"))
    watched.wait_for_reports(studies)
    end.set()
    thread.join()
    return samples


def _resident(process_group: int) -> int:
    """The resident bytes of all processes of a group, memory that they share counted for each."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # a process may end while it is looked at
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(after_name[2]) == process_group:
                total += int((folder / "statm").read_text().split()[1]) * PAGE
    return total
