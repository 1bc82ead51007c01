"""The engine may keep and log what a workflow raises: so it must hear of nothing that could name a patient, nor blame a study for its own end."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
from harness.node import wait_until

from dosremc_node.engine import Engine, Workflows, executor_slot, step, take_over, workflow, workflows
from dosremc_node.errors import NodeStopping, StepFailed

NAME = "KANARIENVOGEL^PERSON"


@workflows
class Unlucky(Workflows):
    """Workflows that go wrong."""

    def __init__(self) -> None:
        super().__init__("unlucky")
        self.raised: list[Exception] = []
        self.begun, self.go_on = Event(), Event()

    @workflow
    def careful(self) -> None:
        """Catches what its step raises."""
        try:
            self.fail()
        except StepFailed as error:
            self.raised.append(error)

    @workflow
    def careless(self) -> None:
        """Catches nothing."""
        raise ValueError(NAME)

    @workflow
    def late(self) -> None:
        """Is still at its step when the engine is stopped."""
        try:
            self.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is
            self.raised.append(error)

    @step
    def fail(self) -> None:
        raise ValueError(NAME)

    @step
    def wait(self) -> None:
        self.begun.set()
        self.go_on.wait(30)


@pytest.fixture(scope="module")
def unlucky() -> Unlucky:
    """One for all tests: the engine knows its workflows for as long as the process lives."""
    return Unlucky()


@pytest.fixture
def engine(tmp_path: Path, unlucky: Unlucky) -> Iterator[Engine]:
    """A running engine."""
    unlucky.raised.clear()
    started = Engine(f"sqlite:///{tmp_path}/engine.sqlite", "test-0", 4)
    started.launch({"work": 2}, {})
    yield started
    started.stop(0)


def test_no_foreign_exception_leaves_its_text_in_the_engine(
    engine: Engine, unlucky: Unlucky, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither in its rows nor in what it prints; the workflow still gets to know what kind of failure it was, and where."""
    engine.enqueue("work", "a", unlucky.careful)
    engine.enqueue("work", "b", unlucky.careless)
    wait_until(lambda: engine.has_ended("a") and engine.has_ended("b"), "both have ended", 30)
    rows = "\n".join(sqlite3.connect(tmp_path / "engine.sqlite").iterdump())
    assert "StepFailed" in rows
    assert NAME not in rows + caplog.text + "".join(capfd.readouterr())
    assert "ValueError (test_engine.py, line" in str(unlucky.raised[0])
    assert logging.getLogger("dbos").handlers == []


def test_what_fails_because_the_engine_was_stopped_is_no_failure_of_the_study(engine: Engine, unlucky: Unlucky) -> None:
    """A step that ends after the engine cannot be entered any more: the workflow hears that the node is stopping."""
    engine.enqueue("work", "c", unlucky.late)
    assert unlucky.begun.wait(30)
    engine.stop(0)
    unlucky.go_on.set()
    wait_until(lambda: unlucky.raised, "the workflow goes on", 30)
    assert isinstance(unlucky.raised[0], NodeStopping)


def test_a_slot_keeps_its_name_when_the_host_is_called_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that is made anew finds what the one before it left; two processes at once never share a name."""
    with executor_slot(tmp_path) as first, executor_slot(tmp_path) as second:
        assert first != second
    monkeypatch.setattr("socket.gethostname", lambda: "renamed")
    with executor_slot(tmp_path) as again:
        assert again == first


def test_what_a_dead_process_left_is_done_by_one_that_lives(tmp_path: Path, unlucky: Unlucky) -> None:
    """Its slot may never be taken again. What runs in a live process is left alone."""
    url, folder = f"sqlite:///{tmp_path}/engine.sqlite", tmp_path / "executors"
    unlucky.begun.clear()
    unlucky.go_on.clear()
    with executor_slot(folder) as living, executor_slot(folder) as dying:
        engine = Engine(url, dying, 4)
        engine.launch({"work": 2}, {})
        engine.enqueue("work", "d", unlucky.late)
        assert unlucky.begun.wait(30)
        engine.stop(0)
        unlucky.go_on.set()
        engine = Engine(url, living, 4)
        engine.launch({"work": 2}, {})
        take_over(folder)
        assert status_of(tmp_path, "d") == "PENDING"
    with executor_slot(folder):
        take_over(folder)
        wait_until(lambda: engine.has_ended("d"), "the other has done it", 30)
        engine.stop(0)


def status_of(folder: Path, name: str) -> str:
    """What the engine's row says of a workflow."""
    with closing(sqlite3.connect(folder / "engine.sqlite")) as connection:
        (status,) = connection.execute("SELECT status FROM workflow_status WHERE workflow_uuid LIKE '%/' || ?", (name,)).fetchone()
    return str(status)


def test_a_process_takes_from_its_own_queues_only(tmp_path: Path, unlucky: Unlucky) -> None:
    """What a process of another kind is to do waits for one that has its queue, though both share a database."""
    url = f"sqlite:///{tmp_path}/engine.sqlite"
    engine = Engine(url, "first", 4)
    engine.launch({}, {}, one_over_all_processes=["elsewhere"])
    engine.stop(0)
    engine = Engine(url, "second", 4)
    engine.launch({"work": 2}, {})
    engine.enqueue("elsewhere", "e", unlucky.careful)
    engine.enqueue("work", "f", unlucky.careful)
    wait_until(lambda: engine.has_ended("f"), "its own is done", 30)
    assert not engine.has_ended("e")
    engine.stop(0)
    engine = Engine(url, "first", 4)
    engine.launch({}, {}, one_over_all_processes=["elsewhere"])
    wait_until(lambda: engine.has_ended("e"), "the other has come", 30)
    engine.stop(0)
