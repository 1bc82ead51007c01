"""Which scanners the node has seen, and how many exams they took: assessed or not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Date, func, select, type_coerce

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.tables import RevisionRow, StudyRow
from dosremc_node.records import ScannerKey, from_json


@dataclass(frozen=True, slots=True)
class _Plan:
    """All of a plan that is asked for."""

    scanner: ScannerKey | None


def scanners(ledger: Ledger) -> Mapping[str, ScannerKey]:
    """Every scanner of which a study was planned, by the name that `AssessedExam.scanner_key` has."""
    latest = select(func.max(RevisionRow.id)).where(RevisionRow.scanner_key != "").group_by(RevisionRow.scanner_key)
    query = select(RevisionRow.scanner_key, RevisionRow.plan).where(RevisionRow.id.in_(latest)).order_by(RevisionRow.scanner_key)
    with ledger.reading() as session:
        planned = [(key, from_json(_Plan, plan).scanner) for key, plan in session.execute(query)]
    return {key: scanner for key, scanner in planned if scanner is not None}


def exams_taken(ledger: Ledger, scanner_keys: Collection[str]) -> Mapping[date, int]:
    """How many exams these scanners took on each day, whatever became of them in the node."""
    taken_on = type_coerce(func.coalesce(StudyRow.study_date, func.date(StudyRow.first_received_at)), Date)
    query = (
        select(taken_on, func.count(StudyRow.study_id.distinct()))
        .join(RevisionRow, RevisionRow.study_id == StudyRow.study_id)
        .where(RevisionRow.scanner_key.in_(sorted(scanner_keys)))
        .group_by(taken_on)
    )
    with ledger.reading() as session:
        return {row[0]: row[1] for row in session.execute(query)}
