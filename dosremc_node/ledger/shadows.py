"""What is scored and not shown: exams of a proposal in its shadow, and whole domains that were withheld."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from dosremc_node.errors import DomainNotWithheld
from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.proposal_tables import ShadowExamRow, WithheldRow
from dosremc_node.ledger.tables import RevisionRow, fitting
from dosremc_node.records import Domain, StudyId


@dataclass(frozen=True, slots=True)
class ShadowExam:
    """What is in force and what is proposed say of one exam."""

    study_id: StudyId
    champion_positive: bool
    challenger_positive: bool


def keep_shadow_exams(ledger: Ledger, proposal_id: str, exams: Collection[ShadowExam], now: datetime) -> None:
    """Enter what a proposal said of exams; of those that it was asked for before, the first answer stays."""
    with ledger.transaction() as session:
        known = set(session.scalars(select(ShadowExamRow.study_id).filter_by(proposal_id=proposal_id)))
        session.add_all(
            ShadowExamRow(
                proposal_id=proposal_id,
                study_id=each.study_id,
                champion_positive=each.champion_positive,
                challenger_positive=each.challenger_positive,
                scored_at=now,
            )
            for each in exams
            if each.study_id not in known
        )


def shadow_exams(ledger: Ledger, proposal_id: str) -> Sequence[ShadowExam]:
    """All that a proposal has said in its shadow."""
    query = select(ShadowExamRow).filter_by(proposal_id=proposal_id).order_by(ShadowExamRow.scored_at, ShadowExamRow.study_id)
    with ledger.reading() as session:
        return [ShadowExam(StudyId(row.study_id), row.champion_positive, row.challenger_positive) for row in session.scalars(query)]


def assessed_since(ledger: Ledger, since: datetime) -> frozenset[StudyId]:
    """The studies that were assessed from then on, whenever they were taken."""
    with ledger.reading() as session:
        return frozenset(StudyId(each) for each in session.scalars(select(RevisionRow.study_id).where(RevisionRow.assessed_at >= since)))


# --- Domains whose results are not shown ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Withheld:
    """Since when, why and by whom a domain's results are kept and not shown."""

    domain: Domain
    since: datetime
    reason: str
    actor: str


def withhold(ledger: Ledger, domain: Domain, reason: str, actor: str, now: datetime) -> bool:
    """From now on the domain's new revisions are scored and not shown; whether that is new."""
    with ledger.transaction() as session:
        audit.take_turn(session)
        if session.scalar(select(WithheldRow.id).filter_by(domain=domain, lifted_at=None)) is not None:
            return False
        session.add(WithheldRow(domain=domain, since=now, reason=reason, actor=fitting(WithheldRow.actor, actor)))
        audit.append(session, actor, "withhold domain", domain, {"reason": reason})
        return True


def lift(ledger: Ledger, domain: Domain, actor: str, now: datetime) -> None:
    """The domain's new revisions are shown again. Raises `DomainNotWithheld`."""
    with ledger.transaction() as session:
        row = session.scalar(select(WithheldRow).filter_by(domain=domain, lifted_at=None))
        if row is None:
            raise DomainNotWithheld(domain=domain)
        row.lifted_at, row.lifted_by = now, fitting(WithheldRow.lifted_by, actor)
        audit.append(session, actor, "show domain again", domain, {})


def withheld(ledger: Ledger) -> Mapping[Domain, Withheld]:
    """The domains that are not shown now."""
    query = select(WithheldRow).where(WithheldRow.lifted_at.is_(None)).order_by(WithheldRow.domain)
    with ledger.reading() as session:
        return {Domain(row.domain): Withheld(Domain(row.domain), row.since, row.reason, row.actor) for row in session.scalars(query)}


def lifted_at(ledger: Ledger, domain: Domain) -> datetime | None:
    """When a person last had a domain shown again that was withheld."""
    with ledger.reading() as session:
        return session.scalar(select(func.max(WithheldRow.lifted_at)).filter_by(domain=domain))
