"""What a PACS has and the node lacks: when it is asked next, what came of it, and what is to be fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from sqlalchemy import ColumnElement, ScalarSelect, Select, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.hospital_tables import MissingStudyRow, ReconciliationRow
from dosremc_node.ledger.tables import DocumentRow, InstanceRow, RevisionRow, StudyRow


@dataclass(frozen=True, slots=True)
class MissingStudy:
    """A study of which a PACS has more images than the node. It identifies the examination: for a person's screen, never for a log."""

    source: str
    study_instance_uid: str = field(repr=False)
    study_date: date | None = field(repr=False)
    images_there: int | None
    images_here: int
    fetches: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """When a PACS was asked last, what it said, and when it is asked next."""

    source: str
    asked_at: datetime | None
    studies: int | None
    failure: str
    due_at: datetime


def due(ledger: Ledger, source: str, now: datetime) -> datetime | None:
    """When it was due that ``source`` is asked, where that is past; at once where it never was asked."""
    with ledger.reading() as session:
        row = session.get(ReconciliationRow, source)
    if row is None:
        row = _first(ledger, source, now)
    return row.due_at if row.due_at <= now else None


def _first(ledger: Ledger, source: str, now: datetime) -> ReconciliationRow:
    try:
        with ledger.transaction() as session:
            session.add(ReconciliationRow(source=source, due_at=now))
    except IntegrityError:  # another process looked at the same moment
        pass
    with ledger.reading() as session:
        return session.get_one(ReconciliationRow, source)


def images_here(ledger: Ledger, study_instance_uids: Sequence[str]) -> Mapping[str, int]:
    """How many images of each study ever came, however often, and whatever became of them; nothing of those of which none did."""
    query = (
        select(StudyRow.study_instance_uid, func.count(func.distinct(InstanceRow.sop_instance_uid)))
        .join(InstanceRow, InstanceRow.study_id == StudyRow.study_id)
        .group_by(StudyRow.study_instance_uid)
    )
    found: dict[str, int] = {}
    with ledger.reading() as session:
        for start in range(0, len(study_instance_uids), 500):  # a database takes only so many parameters
            some = StudyRow.study_instance_uid.in_(study_instance_uids[start : start + 500])
            found |= dict(session.execute(query.where(some)).all())
    return found


def our_series(ledger: Ledger, study_instance_uid: str) -> frozenset[str]:
    """The series of our own documents in a study: the PACS has them from us."""
    query = select(DocumentRow.series_instance_uid).join(RevisionRow).join(StudyRow)
    with ledger.reading() as session:
        return frozenset(session.scalars(query.where(StudyRow.study_instance_uid == study_instance_uid)))


def keep_inventory(
    ledger: Ledger,
    source: str,
    missing: Sequence[MissingStudy],
    *,
    studies: int,
    window: tuple[date, date],
    now: datetime,
    due_at: datetime,
) -> None:
    """Enter what is missing of the ``studies`` that a PACS has in a window of study dates, both days included; what is missing no more is settled."""
    with ledger.transaction() as session:
        row = session.get_one(ReconciliationRow, source, with_for_update=True)
        row.asked_at, row.studies, row.failure, row.due_at = now, studies, "", due_at
        known = {each.study_instance_uid: each for each in session.scalars(select(MissingStudyRow).filter_by(source=source))}
        for study in missing:
            _enter(session, known.pop(study.study_instance_uid, None), study, now)
        for gone in known.values():
            if gone.settled_at is None and gone.study_date and window[0] <= gone.study_date <= window[1]:
                gone.settled_at = now


def _enter(session: Session, row: MissingStudyRow | None, study: MissingStudy, now: datetime) -> None:
    if row is None:
        row = MissingStudyRow(source=study.source, study_instance_uid=study.study_instance_uid, found_at=now)
        session.add(row)
    if row.images_there != study.images_there:  # there is more of it to fetch than there was
        row.fetches = 0
    row.study_date, row.images_there, row.images_here = study.study_date, study.images_there, study.images_here
    row.settled_at = None


def keep_failure(ledger: Ledger, source: str, reason: str, due_at: datetime) -> None:
    """Enter why a PACS could not be asked, and when it is tried again."""
    with ledger.transaction() as session:
        row = session.get_one(ReconciliationRow, source, with_for_update=True)
        row.failure, row.due_at = reason, due_at


def begin_fetch(ledger: Ledger, source: str, attempts_at_most: int, since: datetime) -> MissingStudy | None:
    """The next study that is to be fetched, counted as tried before it is; None where each was tried often enough, or since ``since``."""
    with ledger.transaction() as session:
        not_yet = or_(MissingStudyRow.fetched_at.is_(None), MissingStudyRow.fetched_at < since)
        query = _missing().where(MissingStudyRow.source == source, MissingStudyRow.fetches < attempts_at_most, not_yet)
        row = session.scalars(query.order_by(MissingStudyRow.fetches, MissingStudyRow.id).limit(1).with_for_update()).first()
        if row is None:
            return None
        row.fetches += 1
        row.fetched_at = datetime.now(UTC)
        return _record(row)


def end_fetch(ledger: Ledger, study: MissingStudy, failure: str) -> None:
    """Enter what became of a fetch; ``failure`` is empty where the PACS says that it sent everything."""
    with ledger.transaction() as session:
        query = select(MissingStudyRow).filter_by(source=study.source, study_instance_uid=study.study_instance_uid)
        session.scalars(query).one().failure = failure


def list_missing(ledger: Ledger) -> Sequence[MissingStudy]:
    """What is missing as things stand, the oldest examination first."""
    with ledger.reading() as session:
        rows = session.scalars(_missing().order_by(MissingStudyRow.study_date, MissingStudyRow.id))
        return [_record(row) for row in rows]


def missing_counts(ledger: Ledger) -> Mapping[str, int]:
    """How many studies are missing, by the PACS that was asked."""
    query = (
        select(ReconciliationRow.source, func.count(MissingStudyRow.id))
        .outerjoin(MissingStudyRow, (MissingStudyRow.source == ReconciliationRow.source) & _is_missing())
        .group_by(ReconciliationRow.source)
    )
    with ledger.reading() as session:
        return dict(session.execute(query).all())


def asked(ledger: Ledger) -> Sequence[Asked]:
    """Every PACS that is or was asked."""
    with ledger.reading() as session:
        rows = session.scalars(select(ReconciliationRow).order_by(ReconciliationRow.source))
        return [Asked(row.source, row.asked_at, row.studies, row.failure, row.due_at) for row in rows]


def _missing() -> Select[MissingStudyRow]:
    return select(MissingStudyRow).where(_is_missing())


def _is_missing() -> ColumnElement[bool]:
    """What arrived since is missing no more: nobody has to note that."""
    return MissingStudyRow.settled_at.is_(None) & (
        _here(MissingStudyRow.study_instance_uid) < func.coalesce(MissingStudyRow.images_there, 1)
    )


def _here(study_instance_uid: InstrumentedAttribute[str]) -> ScalarSelect[int]:
    return (
        select(func.count(func.distinct(InstanceRow.sop_instance_uid)))
        .join(StudyRow, StudyRow.study_id == InstanceRow.study_id)
        .where(StudyRow.study_instance_uid == study_instance_uid)
        .correlate(MissingStudyRow)
        .scalar_subquery()
    )


def _record(row: MissingStudyRow) -> MissingStudy:
    return MissingStudy(row.source, row.study_instance_uid, row.study_date, row.images_there, row.images_here, row.fetches, row.failure)
