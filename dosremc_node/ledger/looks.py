"""Runs and looks: each window of a domain is run once, each exam judges once, and every look is paid for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dosremc_node.errors import ExamsJudgedBefore, LooksSpent, WindowTaken
from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.proposal_tables import LookExamRow, LookRow, RecalibrationRunRow
from dosremc_node.ledger.tables import RevisionRow, fitting
from dosremc_node.records import Domain, StudyId

_A_HAIR = 1e-9


# --- Runs -------------------------------------------------------------------------------------------------------------


def claim_run(ledger: Ledger, domain: Domain, window: str, holder: str, now: datetime) -> bool:
    """Take the run of a domain over a window, such as ``2026-03``; ``holder`` names whoever may go on with it after a crash.

    Whether there is anything to do: False where it was finished. Raises `WindowTaken` where another holder has it.
    """
    with ledger.transaction() as session:
        audit.take_turn(session)
        row = session.scalar(select(RecalibrationRunRow).filter_by(domain=domain, window=window))
        if row is None:
            session.add(
                RecalibrationRunRow(domain=domain, window=window, holder=fitting(RecalibrationRunRow.holder, holder), started_at=now)
            )
            audit.append(session, audit.NODE, "begin recalibration", f"{domain} {window}", {"holder": holder})
            return True
        if row.finished_at is None and row.holder != holder:
            raise WindowTaken(domain=domain, window=window, holder=row.holder)
        return row.finished_at is None


def finish_run(ledger: Ledger, domain: Domain, window: str, outcome: str, now: datetime) -> None:
    """The run is through, and nobody runs that window of the domain again. ``outcome`` is a sentence for people."""
    with ledger.transaction() as session:
        row = session.scalars(select(RecalibrationRunRow).filter_by(domain=domain, window=window)).one()
        if row.finished_at is None:
            row.finished_at, row.outcome = now, outcome
            audit.append(session, audit.NODE, "finish recalibration", f"{domain} {window}", {"outcome": outcome})


# --- Looks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Family:
    """What pays for its looks together: a kind of change, a domain, and a scanner key or, empty, all of the domain's."""

    kind: str
    domain: Domain
    scanner_key: str = ""

    def __str__(self) -> str:
        return f"{self.kind} of {self.domain}" + (f" for {self.scanner_key}" if self.scanner_key else "")


@dataclass(frozen=True, slots=True)
class Look:
    """The ``number``-th look of its family, which may err with the probability ``alpha``."""

    look_id: int
    number: int
    alpha: float


def take_look(
    ledger: Ledger,
    family: Family,
    window: str,
    *,
    fitted: Collection[StudyId],
    judged: Collection[StudyId],
    judged_until: date,
    alpha: float,
    budget: float,
    since: date | None,
    now: datetime,
) -> Look:
    """Enter which exams a proposal was fitted to and which, taken up to ``judged_until``, judge it: before anybody looks at their truth.

    It spends ``alpha`` of ``budget``, of which looks from ``since`` on have spent their parts. The same window asked for again is the same
    look, whatever it is asked with. Raises `ExamsJudgedBefore`, and `LooksSpent` where the budget does not allow another.
    """
    with ledger.transaction() as session:
        audit.take_turn(session)
        taken = list(session.scalars(select(LookRow).filter_by(**_columns(family)).order_by(LookRow.number)))
        for row in taken:
            if row.window == window:
                return Look(row.id, row.number, row.alpha)
        spent = sum(row.alpha for row in taken if since is None or row.at.date() >= since)
        if spent + alpha > budget + _A_HAIR:
            raise LooksSpent(family=family, looks=len(taken), alpha=budget)
        if used := _judged_by(session, family) & set(judged):
            raise ExamsJudgedBefore(family=family, exams=len(used))
        row = LookRow(window=window, number=len(taken) + 1, alpha=alpha, judged_until=judged_until, at=now, **_columns(family))
        session.add(row)
        session.flush()
        parts = [(False, fitted), (True, judged)]
        session.add_all(LookExamRow(look_id=row.id, study_id=each, judged=part) for part, exams in parts for each in sorted(set(exams)))
        facts = {"look": row.id, "number": row.number, "alpha": alpha, "fitted": len(set(fitted)), "judged": len(set(judged))}
        audit.append(session, audit.NODE, "look at outcomes", str(family), facts)
        return Look(row.id, row.number, row.alpha)


def judged_until(ledger: Ledger, family: Family) -> date | None:
    """Up to which day exams have judged a change of this family: a later look takes exams after it. None before the first look."""
    with ledger.reading() as session:
        return session.scalar(select(func.max(LookRow.judged_until)).filter_by(**_columns(family)))


def exams_of(ledger: Ledger, look_id: int) -> tuple[frozenset[StudyId], frozenset[StudyId]]:
    """What a look's proposal was fitted to, and what judged it."""
    with ledger.reading() as session:
        rows = session.execute(select(LookExamRow.study_id, LookExamRow.judged).where(LookExamRow.look_id == look_id)).all()
    fitted, judged = (frozenset(StudyId(study_id) for study_id, part in rows if part is judged) for judged in (False, True))
    return fitted, judged


def scanner_keys_of(ledger: Ledger, look_id: int | None) -> frozenset[str]:
    """The scanners of a look's exams; none where there was no look."""
    query = select(RevisionRow.scanner_key).join(LookExamRow, LookExamRow.study_id == RevisionRow.study_id)
    with ledger.reading() as session:
        return frozenset(session.scalars(query.where(LookExamRow.look_id == look_id, RevisionRow.scanner_key != "").distinct()))


def _columns(family: Family) -> dict[str, str]:
    return {"kind": family.kind, "domain": family.domain, "scanner_key": fitting(LookRow.scanner_key, family.scanner_key)}


def _judged_by(session: Session, family: Family) -> set[StudyId]:
    query = select(LookExamRow.study_id).join(LookRow).filter_by(**_columns(family)).where(LookExamRow.judged)
    return {StudyId(each) for each in session.scalars(query)}
