"""How many studies the node gets done, against decoding alone on the same processors: what does not fit beside decoding is what we add."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from harness.studies import copy_of_study

from bench.decoding import decode_alone, fastest_decoder
from bench.exams import JPEG_2000, full_size_study
from bench.measuring import Result, Scope, in_turn, more
from bench.nodes import watched_node

STUDIES = 8


def run(scope: Scope) -> Iterator[Result]:
    """`throughput`: studies a minute, JPEG 2000, from the first C-STORE to the last report on Orthanc."""
    studies, processors, paths = (2 if scope.quick else STUDIES), len(os.sched_getaffinity(0)), full_size_study(scope.data, JPEG_2000)
    winner, images = fastest_decoder(paths[0], scope.times(3)), [path.read_bytes() for path in paths]
    jobs = [(path, winner) for path in paths * studies]
    done = 1
    with (
        watched_node(scope.work, f"worker.decoding_processes={processors}") as watched,
        get_context("spawn").Pool(processors) as pool,
    ):
        watched.send(copy_of_study(images, "warm-up"))
        watched.wait_for_reports(done)
        pool.starmap(decode_alone, jobs[:processors], chunksize=1)

        def ours() -> float:
            nonlocal done
            batch = [_written(copy_of_study(images, f"W{done + number}"), scope.work / "sent" / str(number)) for number in range(studies)]
            done += studies
            started = time.perf_counter()
            for study in batch:
                watched.send_files(study)
            return studies * 60 / (watched.wait_for_reports(done) - started)

        def theirs() -> float:
            started = time.perf_counter()
            pool.starmap(decode_alone, jobs, chunksize=1)
            return studies * 60 / (time.perf_counter() - started)

        pairs = in_turn(ours, theirs, scope.times(5))
    yield Result("throughput", median(own for own, _ in pairs), "studies a minute", more(pairs, f"decoding alone ({winner})"))


def _written(study: list[bytes], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.dcm" for number in range(len(study))]
    for path, content in zip(paths, study, strict=True):
        path.write_bytes(content)
    return paths
