"""The clock is set back or forward, and the hour changes, while studies wait: nothing is lost, held up for long, or early (libfaketime)."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from harness.clock import Clock, faketime_library
from harness.node import RunningNode, send_to, wait_until
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import select

from dosremc_node.ledger.overview import list_studies
from dosremc_node.ledger.states import StudyState
from dosremc_node.ledger.tables import DeliveryRow, RevisionRow
from dosremc_node.simulation import SimulatedExam
from dosremc_node.simulation.stand_in_pacs import StandInPacs

pytestmark = pytest.mark.system

QUIET_SECONDS, SPANNING_QUIET_SECONDS = 4, 12
A_YEAR = 365 * 86400
CENTRAL_EUROPE = "CET-1CEST,M3.5.0,M10.5.0/3"
OUT_OF_RESOURCES = 0xA700


class ClockedNode:
    """A node's two roles under a clock."""

    def __init__(self, node: RunningNode, clock: Clock) -> None:
        self.node, self.clock = node, clock
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for role, sign in {"receiver": "reception_started", "worker": "worker_started"}.items():
            self._processes.append(self.node.start_role(role, **self.clock.environment))
            wait_until(partial(self._has_said, sign), f"the {role} is up, see {self.node.log}")

    def _has_said(self, sign: str) -> bool:
        return sign in self.node.log.read_text()

    def end(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait(timeout=60)

    def is_done(self) -> bool:
        return len(list_studies(self.node.ledger, [StudyState.DONE])) == 1

    def was_refused(self) -> bool:
        with self.node.ledger.reading() as session:
            return session.scalars(select(DeliveryRow).where(DeliveryRow.attempts > 0)).first() is not None

    def opened_at(self) -> datetime:
        """When the study's only revision was opened, by the node's clock."""
        with self.node.ledger.reading() as session:
            return session.scalars(select(RevisionRow.opened_at)).one()


@pytest.fixture
def clocked(tmp_path: Path, stand_in_pacs: StandInPacs) -> Iterator[Callable[..., ClockedNode]]:
    library = faketime_library()
    if library is None:
        pytest.skip("libfaketime is not installed (Debian package faketime)")
    made: list[ClockedNode] = []

    def make(zone: str = "UTC0", quiet_seconds: int = QUIET_SECONDS) -> ClockedNode:
        options = (f"studies.quiet_seconds={quiet_seconds}", "worker.decoding_processes=1")
        made.append(ClockedNode(RunningNode(tmp_path / "node", [stand_in_pacs], *options), Clock(library, tmp_path / "clock", zone)))
        return made[-1]

    yield make
    for each in made:
        each.end()


def documents(pacs: StandInPacs) -> list[Dataset]:
    return [dcmread(BytesIO(pacs.fetch(each)), stop_before_pixels=True) for each in pacs.instances()]


def moment_of(document: Dataset) -> datetime:
    """Its date and time, in its offset: a moment."""
    made = document.InstanceCreationDate + document.InstanceCreationTime + document.TimezoneOffsetFromUTC
    return datetime.strptime(made, "%Y%m%d%H%M%S.%f%z")


def test_a_clock_that_is_set_back_holds_nothing_up(
    clocked: Callable[..., ClockedNode], stand_in_pacs: StandInPacs, exam_of: Callable[..., SimulatedExam]
) -> None:
    """A year ahead when the image came, right while it waits; again a year ahead when its report was refused, and right again: within a minute all is done."""
    system = clocked()
    system.clock.set_ahead(A_YEAR)
    system.start()
    stand_in_pacs.status = OUT_OF_RESOURCES
    send_to(system.node, [exam_of().images[0].content])
    began = time.monotonic()
    system.clock.set_ahead(0)
    wait_until(system.was_refused, f"the report was made and refused, see {system.node.log}", 60)
    assert time.monotonic() - began > QUIET_SECONDS - 1
    assert abs(system.opened_at() - datetime.now(UTC)) < timedelta(minutes=2)
    system.clock.set_ahead(-A_YEAR)
    stand_in_pacs.status = 0
    wait_until(system.is_done, f"the study is done, see {system.node.log}", 60)
    (report,) = [each for each in documents(stand_in_pacs) if each.SeriesNumber == 9000]
    assert moment_of(report) == system.opened_at()


@pytest.mark.parametrize(
    ("change", "offset"), [("2026-10-25 01:00", "+0200"), pytest.param("2026-03-29 01:00", "+0100", marks=pytest.mark.soak)]
)
def test_a_study_that_spans_the_change_of_hour_is_whole_and_in_its_own_time(
    change: str, offset: str, clocked: Callable[..., ClockedNode], stand_in_pacs: StandInPacs, exam_of: Callable[..., SimulatedExam]
) -> None:
    """One image before the clocks change, one after: one revision after the quiet time, and reports on the clock on which the study began."""
    system = clocked(CENTRAL_EUROPE, SPANNING_QUIET_SECONDS)
    at = datetime.fromisoformat(change).replace(tzinfo=UTC)
    system.clock.set_to(at - timedelta(hours=1))
    system.start()
    system.clock.set_to(at - timedelta(seconds=8))
    first, second = (taken_at(image.content, at - timedelta(minutes=10), offset) for image in exam_of().images[:2])
    send_to(system.node, [first])
    wait_until(lambda: system.clock.now() >= at, "the hour has changed")
    send_to(system.node, [second])
    sent = system.clock.now()
    wait_until(system.is_done, f"the study is done, see {system.node.log}", 60)
    assert timedelta(seconds=SPANNING_QUIET_SECONDS - 1) < system.opened_at() - sent < timedelta(seconds=30)
    assert [study.images for study in list_studies(system.node.ledger)] == [2]
    assert {(report.TimezoneOffsetFromUTC, moment_of(report)) for report in documents(stand_in_pacs)} == {(offset, system.opened_at())}


def taken_at(content: bytes, moment: datetime, offset: str) -> bytes:
    """The image as taken at a moment, in local time, as modalities write it: without an offset."""
    local = moment + timedelta(hours=int(offset) // 100)
    image = dcmread(BytesIO(content))
    image.StudyDate, image.StudyTime = local.strftime("%Y%m%d"), local.strftime("%H%M%S")
    buffer = BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
