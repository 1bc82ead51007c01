"""Network inputs are made once, and those of early views before the study is complete."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from harness import jobs
from harness.node import wait_until

from dosremc_node import imaging, studies
from dosremc_node.anticipation import Anticipation
from dosremc_node.artifacts import ArtifactKind
from dosremc_node.errors import NotDicom
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.inputs import NetworkInputs
from dosremc_node.ledger import revisions
from dosremc_node.node import Node
from dosremc_node.records import Laterality, NetworkInput, PreprocessingSpec, StudyImage
from dosremc_node.simulation import SimulatedExam

Arrive = Callable[[Node, bytes], str]
OpenOne = Callable[..., Node]


def kept(node: Node) -> set[str]:
    """The digests of the images whose inputs are kept."""
    return {key.rpartition("/")[2].partition("-")[0] for key in node.store.keys(ArtifactKind.INPUT)}


def plan_everything_due(node: Node) -> list[StudyImage]:
    """Open a revision of every study that waits, as if it were due; gives the images to score."""
    plan = partial(studies.make_plan, release=node.release_in_force().release, domains=node.domains, settings=node.settings.studies)
    later = datetime.max.replace(tzinfo=UTC)
    opened = [revisions.open_revision(node.ledger, study_id, plan, later) for study_id in revisions.due_studies(node.ledger, later)]
    return [image for revision in opened if revision for image in revision.to_score]


class InThisProcess(ImagingWorkers):
    """Makes inputs in this process, when it is told to, and counts them."""

    def __init__(self) -> None:
        self.may = Event()
        self.asked = 0

    def prepare(self, path: Path, spec: PreprocessingSpec, laterality: Laterality) -> NetworkInput:
        self.asked += 1
        assert self.may.wait(30)
        return imaging.prepare(path, spec, laterality)


def test_early_views_are_prepared_while_later_ones_arrive(
    open_one: OpenOne, arrive: Arrive, exam: SimulatedExam, imaging_workers: ImagingWorkers
) -> None:
    """Two of four views arrive: their inputs are made, each once, and the assessment finds the same that it would have made."""
    node = open_one()
    inputs = NetworkInputs(node.store)
    anticipation = Anticipation(node, inputs, imaging_workers)
    early = {arrive(node, image.content) for image in exam.images[:2]}
    while anticipation.prepare_next(Event()):
        pass
    assert kept(node) == early
    images = plan_everything_due(node)
    assert {image.sha256 for image in images} == early
    unasked, release = InThisProcess(), node.release_in_force().release
    found = [inputs.get(release, image.sha256, image.header.laterality, unasked) for image in images]
    assert unasked.asked == 0
    unasked.may.set()
    for key in node.store.keys(ArtifactKind.INPUT):
        node.store.remove(key)
    for image, early_input in zip(images, found, strict=True):
        np.testing.assert_array_equal(inputs.get(release, image.sha256, image.header.laterality, unasked).pixels, early_input.pixels)


def test_nothing_is_begun_while_every_process_is_busy(
    open_one: OpenOne, arrive: Arrive, exam: SimulatedExam, imaging_workers: ImagingWorkers, tmp_path: Path
) -> None:
    """What an assessment has asked for comes first. Once a process is free, the study's other images are prepared, if they are still waited for."""
    node = open_one()
    anticipation = Anticipation(node, NetworkInputs(node.store), imaging_workers)
    early = arrive(node, exam.images[0].content)
    plan_everything_due(node)
    (study_id, number, _) = revisions.revisions_to_assess(node.ledger)[0]
    late = arrive(node, exam.images[1].content)
    begun, may_end = tmp_path / "begun", tmp_path / "may end"
    with ThreadPoolExecutor() as pool:
        assessment = pool.submit(imaging_workers.run, jobs.meet, begun, may_end)
        wait_until(begun.exists, "the only process is busy")
        assert not anticipation.prepare_next(Event())
        may_end.touch()
        assessment.result()
    assert kept(node) == set()
    while anticipation.prepare_next(Event()):
        pass
    assert kept(node) == {early, late}
    hold = revisions.take_in_hand(node.ledger, study_id, number, 5)
    assert hold is not None
    revisions.park_revision(node.ledger, hold, "it is out of the way")
    plan_everything_due(node)
    (hold,) = [revisions.take_in_hand(node.ledger, *key[:2], 5) for key in revisions.revisions_to_assess(node.ledger)]
    assert hold is not None
    revisions.park_revision(node.ledger, hold, "it is out of the way")
    assert not Anticipation(node, NetworkInputs(node.store), imaging_workers).prepare_next(Event())


def test_what_would_not_be_scored_is_not_prepared(
    open_one: OpenOne, arrive: Arrive, exam: SimulatedExam, imaging_workers: ImagingWorkers
) -> None:
    """Images of a scanner that no domain knows, where such are refused, are passed over."""
    domains = "[[elsewhere]]\nmanufacturers = ['Nobody']\n"
    node = open_one("studies.unknown_scanner=refuse")
    (file := node.settings.storage.folder / "domains.toml").write_text(domains)
    node = open_one("studies.unknown_scanner=refuse", f"studies.domains_file={file}")
    arrive(node, exam.images[0].content)
    assert Anticipation(node, NetworkInputs(node.store), imaging_workers).prepare_next(Event())
    assert kept(node) == set()


def test_an_image_that_cannot_be_prepared_does_not_stop_the_next(
    open_one: OpenOne, arrive: Arrive, exam: SimulatedExam, imaging_workers: ImagingWorkers
) -> None:
    """A broken image is left to the assessment; the one after it is prepared, until the worker stops."""
    node, stop = open_one(), Event()
    broken = bytearray(exam.images[0].content)
    arrive(node, bytes(broken[: len(broken) // 2]))
    good = arrive(node, exam.images[1].content)
    running = Thread(target=Anticipation(node, NetworkInputs(node.store), imaging_workers).run, args=(stop,))
    running.start()
    deadline = time.monotonic() + 30
    while kept(node) != {good}:
        assert time.monotonic() < deadline
        stop.wait(0.01)
    stop.set()
    running.join(30)
    assert not running.is_alive()


def test_who_asks_for_an_input_that_is_being_made_waits_for_it(open_one: OpenOne, arrive: Arrive, exam: SimulatedExam) -> None:
    """Four ask at once, one input is made, all get it; afterwards it is read."""
    node = open_one()
    arrive(node, exam.images[0].content)
    (image,) = plan_everything_due(node)
    inputs, workers, release = NetworkInputs(node.store), InThisProcess(), node.release_in_force().release
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(inputs.get, release, image.sha256, image.header.laterality, workers) for _ in range(4)]
        deadline = time.monotonic() + 30
        while not all(each.running() for each in asked) or not workers.asked:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        workers.may.set()
        made = [each.result() for each in asked]
    assert workers.asked == 1
    np.testing.assert_array_equal(inputs.get(release, image.sha256, image.header.laterality, workers).pixels, made[0].pixels)
    assert workers.asked == 1


def test_a_failure_is_told_to_all_who_wait_and_is_not_remembered(open_one: OpenOne, arrive: Arrive, exam: SimulatedExam) -> None:
    """An image that cannot be read is refused to everybody; whoever asks later has it tried again."""
    node = open_one()
    arrive(node, exam.images[0].content)
    (image,) = plan_everything_due(node)
    inputs, workers, release = NetworkInputs(node.store), InThisProcess(), node.release_in_force().release
    with node.store.local(f"images/{image.sha256[:2]}/{image.sha256}") as path:
        path.write_bytes(b"damaged")
    workers.may.set()
    for times in (1, 2):
        with pytest.raises(NotDicom):
            inputs.get(release, image.sha256, image.header.laterality, workers)
        assert workers.asked == times
