"""What a person wants to see of the ledger: studies by state, what is parked and why, what made each report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Subquery, and_, case, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from dosremc_node.errors import NoSuchStudy
from dosremc_node.ledger.conflict_decisions import Conflict, open_conflicts
from dosremc_node.ledger.conflicts import ConflictKind, two_patients_stand_in
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.states import DeliveryState, RevisionState, Standing, StudyState
from dosremc_node.ledger.tables import DeliveryRow, DocumentRow, InstanceRow, RevisionRow, StudyRow
from dosremc_node.records import Assessment, StudyId, from_json


@dataclass(frozen=True, slots=True)
class StudyOverview:
    """One line of `status`: nothing in it identifies a patient."""

    study_id: StudyId
    state: StudyState
    images: int
    variants: int
    quarantined: int
    withdrawn: int
    removed: int
    missing: int
    conflicts: tuple[str, ...]
    """What of it waits for a person, who has to say whose it is."""
    revision: int | None
    scanner_key: str
    domain: str
    release_id: str
    reason: str
    first_received_at: datetime
    last_received_at: datetime
    due_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReportOverview:
    """One line of `reports`: what made a document, and where it went: to no ``destination`` and in no ``state`` where none takes it."""

    study_id: StudyId
    revision: int
    kind: str
    description: str
    sop_instance_uid: str
    release_id: str
    domain: str
    bank_sha256: str
    threshold: float | None
    scanner_key: str
    rendered_at: datetime
    destination: str
    state: DeliveryState | None
    attempts: int
    status: int | None
    comment: str
    delivered_at: datetime | None


_Parked = tuple[str, int, str, str]
"""A delivery that is parked: its study, its revision's number, its destination, and what was answered."""


def _newest() -> Subquery:
    """The number of each study's latest revision."""
    return select(RevisionRow.study_id, func.max(RevisionRow.number).label("number")).group_by(RevisionRow.study_id).subquery()


def with_latest_revision(*columns: ColumnElement[Any] | InstrumentedAttribute[Any]) -> Select[Any]:
    """Those columns of every study and its latest revision. Columns only: plans and assessments are long."""
    newest = _newest()
    return (
        select(*columns)
        .select_from(StudyRow)
        .outerjoin(newest, newest.c.study_id == StudyRow.study_id)
        .outerjoin(RevisionRow, and_(RevisionRow.study_id == newest.c.study_id, RevisionRow.number == newest.c.number))
    )


def shown_state() -> ColumnElement[str]:
    """The state of a study, beside its latest revision (`with_latest_revision`): the one rule, which also counts them."""
    of_any = aliased(RevisionRow)
    refused = select(of_any.study_id).join(of_any.documents).join(DocumentRow.deliveries).where(DeliveryRow.state == DeliveryState.PARKED)
    delivering = select(of_any.study_id).where(of_any.state == RevisionState.DELIVERING)
    return case(
        (two_patients_stand_in(StudyRow.study_id), StudyState.PARKED.value),
        (_came_first_elsewhere(), StudyState.PARKED.value),
        (or_(RevisionRow.state == RevisionState.PARKED, StudyRow.study_id.in_(refused)), StudyState.PARKED.value),
        (StudyRow.due_at.is_not(None), StudyState.RECEIVING.value),
        (StudyRow.study_id.in_(delivering), StudyState.DELIVERING.value),
        else_=RevisionRow.state,
    )


def _came_first_elsewhere() -> ColumnElement[bool]:
    """A primary image sets a deadline, and only a revision ends it: a study with neither has no image of its own."""
    return and_(StudyRow.due_at.is_(None), StudyRow.study_id.not_in(select(RevisionRow.study_id)))


def list_studies(ledger: Ledger, states: Sequence[StudyState] = (), limit: int | None = None) -> Sequence[StudyOverview]:
    """The studies, latest first, of the given states (all of them by default)."""
    state = shown_state()
    query = with_latest_revision(
        StudyRow.study_id,
        state.label("shown"),
        StudyRow.first_received_at,
        StudyRow.last_received_at,
        StudyRow.due_at,
        RevisionRow.number,
        RevisionRow.state,
        RevisionRow.scanner_key,
        RevisionRow.domain,
        RevisionRow.release_id,
        RevisionRow.reason,
        RevisionRow.finished_at,
    )
    query = query.where(state.in_(states)) if states else query
    with ledger.reading() as session:
        standings, parked, elsewhere = _standings(session), _parked_deliveries(session), _first_studies(session)
        gone, conflicts = _gone(session), open_conflicts(session)
        rows = session.execute(query.order_by(StudyRow.last_received_at.desc(), StudyRow.study_id).limit(limit))
        return [
            _overview(
                row,
                standings=standings.get(row.study_id, Counter()),
                gone=gone.get(row.study_id, (0, 0)),
                conflicts=conflicts.get(row.study_id, ()),
                reason=_reason(row, parked.get(row.study_id, ()), elsewhere.get(row.study_id, ()), conflicts.get(row.study_id, ())),
            )
            for row in rows
        ]


def _standings(session: Session) -> Mapping[str, Counter[Standing]]:
    query = select(InstanceRow.study_id, InstanceRow.standing, func.count()).group_by(InstanceRow.study_id, InstanceRow.standing)
    counts: dict[str, Counter[Standing]] = {}
    for study_id, standing, count in session.execute(query):
        counts.setdefault(study_id, Counter())[Standing(standing)] = count
    return counts


def _gone(session: Session) -> Mapping[str, tuple[int, int]]:
    """Of each study that lacks some: how many images retention removed, and how many are missing."""
    removed, missing = func.count(InstanceRow.removed_at), func.count(InstanceRow.missing_since)
    query = select(InstanceRow.study_id, removed, missing).group_by(InstanceRow.study_id).having(removed + missing > 0)
    return {study_id: (removed, missing) for study_id, removed, missing in session.execute(query)}


def _parked_deliveries(session: Session) -> Mapping[str, Sequence[_Parked]]:
    """Of each study; documents that got the same answer from the same destination are told once."""
    query = (
        select(RevisionRow.study_id, RevisionRow.number, DeliveryRow.destination, DeliveryRow.comment)
        .join(RevisionRow.documents)
        .join(DocumentRow.deliveries)
        .where(DeliveryRow.state == DeliveryState.PARKED)
        .distinct()
    )
    found: dict[str, list[_Parked]] = {}
    for study_id, number, destination, comment in sorted(session.execute(query)):
        found.setdefault(study_id, []).append((study_id, number, destination, comment))
    return found


def _first_studies(session: Session) -> Mapping[str, Sequence[str]]:
    """For each study without an image of its own: the studies in which its images came first."""
    first = aliased(InstanceRow)
    query = (
        select(InstanceRow.study_id, first.study_id)
        .join(StudyRow, StudyRow.study_id == InstanceRow.study_id)
        .join(
            first, and_(first.sop_instance_uid == InstanceRow.sop_instance_uid, first.standing.in_((Standing.PRIMARY, Standing.WITHDRAWN)))
        )
        .where(_came_first_elsewhere())
        .distinct()
    )
    found: dict[str, list[str]] = {}
    for study_id, other in sorted(session.execute(query)):
        found.setdefault(study_id, []).append(other)
    return found


def _reason(row: Row[Any], parked: Sequence[_Parked], elsewhere: Sequence[str], conflicts: Sequence[Conflict]) -> str:
    """All that is parked of a study, in words; empty where nothing is."""
    if two_patients := [each for each in conflicts if each.kind is ConflictKind.TWO_PATIENTS and each.study_id == row.study_id]:
        return f"{two_patients[0]}: see `dosremc-node conflicts show {two_patients[0].conflict_id}`"
    if elsewhere:
        return f"every image of it came first in another study ({', '.join(elsewhere)})"
    reasons = [
        f"{destination}: {comment}" if number == row.number else f"revision {number}, {destination}: {comment}"
        for _, number, destination, comment in parked
    ]
    # The reason of a revision with documents is one of its deliveries'.
    if row.state == RevisionState.PARKED and all(number != row.number for _, number, _, _ in parked):
        reasons.append(row.reason)
    return "; ".join(reasons)


def _overview(
    row: Row[Any], standings: Counter[Standing], gone: tuple[int, int], conflicts: Sequence[Conflict], reason: str
) -> StudyOverview:
    return StudyOverview(
        study_id=StudyId(row.study_id),
        state=StudyState(row.shown),
        images=standings[Standing.PRIMARY],
        variants=standings[Standing.VARIANT],
        quarantined=standings[Standing.QUARANTINED],
        withdrawn=standings[Standing.WITHDRAWN],
        removed=gone[0],
        missing=gone[1],
        conflicts=tuple(map(str, conflicts)),
        revision=row.number,
        scanner_key=row.scanner_key or "",
        domain=row.domain or "",
        release_id=row.release_id or "",
        reason=reason,
        first_received_at=row.first_received_at,
        last_received_at=row.last_received_at,
        due_at=row.due_at,
        finished_at=row.finished_at,
    )


def study_counts(ledger: Ledger) -> Mapping[StudyState, int]:
    """How many studies are in each state."""
    shown = with_latest_revision(shown_state().label("state")).subquery()
    with ledger.reading() as session:
        counts = {StudyState(state): count for state, count in session.execute(select(shown.c.state, func.count()).group_by(shown.c.state))}
    return {state: counts.get(state, 0) for state in StudyState}


def delivery_counts(ledger: Ledger) -> Mapping[tuple[str, DeliveryState], int]:
    """How many documents are in each state, by destination."""
    query = select(DeliveryRow.destination, DeliveryRow.state, func.count()).group_by(DeliveryRow.destination, DeliveryRow.state)
    with ledger.reading() as session:
        return {(destination, DeliveryState(state)): count for destination, state, count in session.execute(query)}


def instance_counts(ledger: Ledger) -> Mapping[Standing, int]:
    """How many instances were received, by what they turned out to be."""
    query = select(InstanceRow.standing, func.count()).group_by(InstanceRow.standing)
    with ledger.reading() as session:
        counts = {Standing(standing): count for standing, count in session.execute(query)}
    return {standing: counts.get(standing, 0) for standing in Standing}


def list_reports(ledger: Ledger, study_id: StudyId | None = None) -> Sequence[ReportOverview]:
    """Every document ever rendered, with what made it and what became of it, in the order of rendering."""
    query = (
        select(RevisionRow, DocumentRow, DeliveryRow)
        .join(DocumentRow, DocumentRow.revision_id == RevisionRow.id)
        .outerjoin(DeliveryRow, DeliveryRow.document_id == DocumentRow.id)
        .order_by(DocumentRow.id, DeliveryRow.id)
    )
    if study_id is not None:
        query = query.where(RevisionRow.study_id == study_id)
    with ledger.reading() as session:
        return [_report(*row) for row in session.execute(query)]


def _report(revision: RevisionRow, document: DocumentRow, delivery: DeliveryRow | None) -> ReportOverview:
    return ReportOverview(
        study_id=StudyId(revision.study_id),
        revision=revision.number,
        kind=document.kind,
        description=document.description,
        sop_instance_uid=document.sop_instance_uid,
        release_id=revision.release_id,
        domain=revision.domain,
        bank_sha256=revision.bank_sha256,
        threshold=revision.threshold,
        scanner_key=revision.scanner_key,
        rendered_at=document.rendered_at,
        destination=delivery.destination if delivery else "",
        state=DeliveryState(delivery.state) if delivery else None,
        attempts=delivery.attempts if delivery else 0,
        status=delivery.status if delivery else None,
        comment=delivery.comment if delivery else "",
        delivered_at=delivery.delivered_at if delivery else None,
    )


def latest_moment(ledger: Ledger) -> datetime | None:
    """When the ledger last took in an image; None where it never did."""
    with ledger.reading() as session:
        return session.scalar(select(func.max(StudyRow.last_received_at)))


def find_study(ledger: Ledger, study_instance_uid: str) -> StudyId | None:
    """The ledger's name of a study by its Study Instance UID; None where it never came."""
    with ledger.reading() as session:
        found = session.scalar(select(StudyRow.study_id).where(StudyRow.study_instance_uid == study_instance_uid))
        return StudyId(found) if found else None


def assessments_of(ledger: Ledger, study_id: StudyId) -> Mapping[int, Assessment]:
    """What the model said of each revision of a study; raises `NoSuchStudy`."""
    with ledger.reading() as session:
        study = session.get(StudyRow, study_id)
        if study is None:
            raise NoSuchStudy(study=study_id)
        return {row.number: from_json(Assessment, row.assessment) for row in study.revisions if row.assessment}
