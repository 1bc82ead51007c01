"""Nodes, exams and a PACS that routes, for the system tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from harness.node import RunningNode

from dosremc_node.records import DEFAULT_DOCUMENTS, Laterality
from dosremc_node.simulation import VENDORS, Order, SimulatedExam, simulate_exam
from dosremc_node.simulation.pacs import Pacs


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[..., RunningNode]]:
    """Starts nodes that send to the given PACS; ends them with the test."""
    started: list[RunningNode] = []

    def start(*pacs: Pacs, options: Sequence[str] = (), name: str = "node", documents: Sequence[str] = DEFAULT_DOCUMENTS) -> RunningNode:
        # One receiver: processes take longest to start. What several do together has tests of its own.
        node = RunningNode(tmp_path / name, pacs, "reception.processes=1", *options, documents=documents)
        started.append(node)
        node.start()
        return node

    yield start
    for node in started:
        node.end()


@pytest.fixture(scope="session")
def exam_of() -> Callable[..., SimulatedExam]:
    """A small simulated exam of a vendor: the same arguments, the same files."""

    @cache
    def exam(vendor: str = "A", seed: int = 1, malignant: Laterality | None = None) -> SimulatedExam:
        return simulate_exam(Order(seed, VENDORS[vendor], malignant, binning=4.0))

    return exam
