"""What fails in a worker for reasons of its own: nothing is lost, nothing is held up, nothing goes on for ever in silence."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from harness.node import wait_until
from harness.studies import copy_of_study

from dosremc_node.artifacts import ArtifactKind
from dosremc_node.engine import Engine
from dosremc_node.errors import LedgerUnavailable
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.overview import list_reports, list_studies
from dosremc_node.ledger.states import DeliveryState, StudyState
from dosremc_node.node import Node
from dosremc_node.simulation import SimulatedExam
from dosremc_node.sweeper import ASSESS, DELIVER, Sweeper
from dosremc_node.workflow import Journey

OpenOne = Callable[..., Node]
Arrive = Callable[[Node, bytes], str]

# A trigger that writes into a table which is not there: the database then answers as one that is away.
AWAY = "CREATE TRIGGER away AFTER UPDATE OF assessment ON revision BEGIN INSERT INTO nowhere VALUES (1); END"
DESTINATION = 'destinations=[{name = "pacs", ae_title = "PACS", host = "127.0.0.1", port = 1, purpose = "test", attempts = 1}]'


@pytest.fixture
def working(open_one: OpenOne, imaging_workers: ImagingWorkers, tmp_path: Path) -> Iterator[tuple[Node, Engine, Journey]]:
    """A node with the engine of a worker, which runs. What is tried once for its destination was tried often enough."""
    node = open_one("studies.quiet_seconds=0", DESTINATION)
    engine = Engine(f"sqlite:///{tmp_path}/engine.sqlite", "test-0", 4)
    journey = Journey(node, imaging_workers)
    engine.launch({ASSESS: 1}, {DELIVER: 1})
    yield node, engine, journey
    engine.stop(5)


def execute(node: Node, statement: str) -> None:
    """Something done to the ledger behind its back."""
    with closing(sqlite3.connect(str(node.ledger.url.database), timeout=30)) as connection, connection:
        connection.execute(statement)


def state(node: Node) -> StudyState:
    """What `status` shows of the only study."""
    (study,) = list_studies(node.ledger)
    return study.state


@pytest.mark.parametrize("url", ["sqlite:///{folder}", "postgresql+psycopg://postgres@127.0.0.1:{port}/none"])
def test_a_database_that_is_away_is_an_error_of_ours(url: str, tmp_path: Path, free_port: int) -> None:
    """Without the statement and its values, which can name a patient, and told apart from a refusal."""
    ledger = Ledger(url.format(folder=tmp_path, port=free_port))
    with pytest.raises(LedgerUnavailable):
        list_studies(ledger)
    ledger.close()


def test_failures_of_the_worker_lose_and_park_nothing_too_early(
    working: tuple[Node, Engine, Journey], arrive: Arrive, exam: SimulatedExam
) -> None:
    """A ledger that is away for a moment parks no study; documents that cannot be read count as tries until the limit parks them;
    a study whose row cannot be read holds up no other.

    One test, because a process has one journey.
    """
    node, engine, journey = working
    arrive(node, exam.images[0].content)
    execute(node, AWAY)
    Sweeper(journey, engine).sweep()
    (study,) = list_studies(node.ledger)
    wait_until(lambda: engine.has_ended(f"{ASSESS}:{study.study_id}:1:0"), "the assessment has failed", 60)
    assert state(node) is StudyState.ASSESSING

    execute(node, "DROP TRIGGER away")
    Sweeper(journey, engine).sweep()
    wait_until(lambda: state(node) is StudyState.DELIVERING, "it is assessed", 60)

    for key in list(node.store.keys(ArtifactKind.DOCUMENT)):
        node.store.remove(key)
        (node.settings.storage.folder / key).mkdir()
    Sweeper(journey, engine).sweep()
    wait_until(lambda: state(node) is StudyState.PARKED, "the limit parks it", 60)
    assert {(report.state, report.attempts) for report in list_reports(node.ledger)} == {(DeliveryState.PARKED, 1)}
    assert "IsADirectoryError" in list_studies(node.ledger)[0].reason

    arrive(node, *copy_of_study([exam.images[0].content], "FIRST"))
    execute(node, "UPDATE instance SET header = '{}'")
    arrive(node, *copy_of_study([exam.images[0].content], "SECOND"))
    Sweeper(journey, engine).sweep()
    assert sorted(study.revision or 0 for study in list_studies(node.ledger)) == [0, 1, 1]
