"""How soon a promoted release scores: from the row that puts it in force to the first assessment with its bank, while studies flow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from statistics import median

from harness.node import wait_until
from harness.releases import release_with_another_bank
from harness.studies import Stream
from sqlalchemy import func, select

from bench.measuring import Result, Scope
from bench.nodes import Watched, watched_node
from dosremc_node.ledger.states import StudyState
from dosremc_node.ledger.tables import ReleaseInForceRow, RevisionRow
from dosremc_node.records import Domain
from dosremc_node.simulation import VENDORS, Order, simulate_exam

DOMAIN = Domain("simulated-b")


def run(scope: Scope) -> Iterator[Result]:
    """`swap`: the median of five promotions, each of a bank that the node has never seen. ``failed_studies`` must be 0."""
    names = [f"bank-{number}" for number in range(scope.times(5))]
    for number, name in enumerate(names):
        release_with_another_bank(scope.work / "releases", name, DOMAIN, shift=0.1 * (number + 1))
    images = [image.content for image in simulate_exam(Order(1, VENDORS["B"], binning=4.0)).images]
    with watched_node(scope.work, f"releases.folder={scope.work}/releases") as watched:
        with Stream(watched.node, images) as stream:
            wait_until(lambda: watched.finished(StudyState.DONE) > 2, "studies flow")
            took = [_promote(watched, name) for name in names]
        wait_until(lambda: watched.finished(StudyState.DONE) + watched.finished(StudyState.PARKED) == stream.sent, "all are finished")
        failed = watched.finished(StudyState.PARKED)
    yield Result("swap", median(took), "ms", further={"failed_studies": float(failed)})


def _promote(watched: Watched, name: str) -> float:
    if watched.node.run("releases", "promote", name).returncode != 0:
        raise RuntimeError(f"{name} could not be promoted")
    wait_until(lambda: _first_assessment(watched, name) is not None, "a study was scored with it")
    first = _first_assessment(watched, name)
    with watched.ledger.reading() as session:
        since = session.scalars(select(ReleaseInForceRow.since)).one()
    return (first - since).total_seconds() * 1000 if first else float("nan")


def _first_assessment(watched: Watched, release_id: str) -> datetime | None:
    with watched.ledger.reading() as session:
        return session.scalar(select(func.min(RevisionRow.assessed_at)).where(RevisionRow.release_id == release_id))
