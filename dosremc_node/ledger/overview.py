"""What a person wants to see of the ledger: studies by state, what is parked and why, what made each report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from dosremc_node.errors import NoSuchStudy
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.states import DeliveryState, Standing, StudyState
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
    """One line of `reports`: what made a document, and where it went."""

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
    state: DeliveryState
    attempts: int
    status: int | None
    comment: str
    delivered_at: datetime | None


def list_studies(ledger: Ledger, states: Sequence[StudyState] = (), limit: int | None = None) -> Sequence[StudyOverview]:
    """The studies, latest first, of the given states (all of them by default)."""
    newest = select(RevisionRow.study_id, func.max(RevisionRow.number).label("number")).group_by(RevisionRow.study_id).subquery()
    query = (
        select(StudyRow, RevisionRow)
        .outerjoin(newest, newest.c.study_id == StudyRow.study_id)
        .outerjoin(RevisionRow, and_(RevisionRow.study_id == newest.c.study_id, RevisionRow.number == newest.c.number))
        .order_by(StudyRow.last_received_at.desc(), StudyRow.study_id)
    )
    with ledger.reading() as session:
        standings = _standings(session)
        rows = [_overview(study, revision, standings.get(study.study_id, Counter())) for study, revision in session.execute(query)]
    chosen = [row for row in rows if not states or row.state in states]
    return chosen[:limit]


def _standings(session: Session) -> Mapping[str, Counter[Standing]]:
    query = select(InstanceRow.study_id, InstanceRow.standing, func.count()).group_by(InstanceRow.study_id, InstanceRow.standing)
    counts: dict[str, Counter[Standing]] = {}
    for study_id, standing, count in session.execute(query):
        counts.setdefault(study_id, Counter())[Standing(standing)] = count
    return counts


def _overview(study: StudyRow, revision: RevisionRow | None, standings: Counter[Standing]) -> StudyOverview:
    return StudyOverview(
        study_id=StudyId(study.study_id),
        state=_state(study, revision),
        images=standings[Standing.PRIMARY],
        variants=standings[Standing.VARIANT],
        quarantined=standings[Standing.QUARANTINED],
        revision=revision.number if revision else None,
        scanner_key=revision.scanner_key if revision else "",
        domain=revision.domain if revision else "",
        release_id=revision.release_id if revision else "",
        reason=revision.reason if revision else "",
        first_received_at=study.first_received_at,
        last_received_at=study.last_received_at,
        due_at=study.due_at,
        finished_at=revision.finished_at if revision else None,
    )


def _state(study: StudyRow, revision: RevisionRow | None) -> StudyState:
    if revision is None or study.due_at is not None:
        return StudyState.RECEIVING
    return StudyState(revision.state)


def study_counts(ledger: Ledger) -> Mapping[StudyState, int]:
    """How many studies are in each state."""
    counts = Counter(row.state for row in list_studies(ledger))
    return {state: counts[state] for state in StudyState}


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
        .join(DeliveryRow, DeliveryRow.document_id == DocumentRow.id)
        .order_by(DocumentRow.id, DeliveryRow.id)
    )
    if study_id is not None:
        query = query.where(RevisionRow.study_id == study_id)
    with ledger.reading() as session:
        return [_report(*row) for row in session.execute(query)]


def _report(revision: RevisionRow, document: DocumentRow, delivery: DeliveryRow) -> ReportOverview:
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
        destination=delivery.destination,
        state=DeliveryState(delivery.state),
        attempts=delivery.attempts,
        status=delivery.status,
        comment=delivery.comment,
        delivered_at=delivery.delivered_at,
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
