"""The random audit arm: exams that were not flagged, drawn by lot for a person to follow up, so that what is missed can be told.

Without it the truth is looked for only where something was suspected. Each exam is drawn for once, soon after its assessment, whatever is
known of it; with which probability is kept, because its weight is one over that. The lot is a keyed hash of the Study Instance UID: the same
whoever draws, and nobody can foretell or choose it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, func, select, text
from sqlalchemy.orm import Session

from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.objections import objected
from dosremc_node.ledger.outcome_tables import AuditArmKeyRow, AuditArmRow
from dosremc_node.ledger.tables import RevisionRow, StudyRow
from dosremc_node.records import NotAssessedReason, PatientIdentifier, StudyId, from_json

DRAWN_WITHIN = timedelta(days=30)
"""Who was examined longer ago is not called back: nor are those drawn for who came before there was a lot."""
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class AuditArmExam:
    """An exam that the lot fell on: nothing in it identifies a patient."""

    study_id: StudyId
    probability: float
    drawn_at: datetime


@dataclass(frozen=True, slots=True)
class _Said:
    positive: bool
    not_assessed: NotAssessedReason | None


def flagged(assessment: str) -> bool:
    """Whether an assessment, as the ledger keeps it, was shown as positive: a score that is not shown has nobody recalled."""
    said = from_json(_Said, assessment)
    return said.positive and said.not_assessed is None


def draw(ledger: Ledger, share: float, now: datetime) -> int:
    """Draw for the exams that nobody has drawn for yet; answers on how many the lot fell."""
    with ledger.reading() as session:  # which stops no writer
        if not _to_draw_for(session, now):
            return 0
    with ledger.transaction() as session:
        _keep_others_out(session)
        key, fell_on = _key(session, now), []
        for study in _to_draw_for(session, now):
            drawn = _lot(key, study.study_instance_uid) < share
            session.add(AuditArmRow(study_id=study.study_id, probability=share, drawn=drawn, at=now))
            fell_on += [study.study_id] if drawn else []
        session.flush()  # the trail is locked after all else, as everywhere
        for study_id in fell_on:
            audit.append(session, audit.NODE, "draw for audit arm", study_id, {"probability": share})
        return len(fell_on)


def _keep_others_out(session: Session) -> None:
    """Two workers must not draw for the same exam, nor make a key each. (On SQLite every writer waits anyway.)"""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE audit_arm IN EXCLUSIVE MODE"))


def _to_draw_for(session: Session, now: datetime) -> list[StudyRow]:
    """The exams that came of late and were not flagged, of women who have not objected."""
    newest = select(RevisionRow.study_id, func.max(RevisionRow.number).label("number")).group_by(RevisionRow.study_id).subquery()
    query = (
        select(StudyRow, RevisionRow.assessment)
        .join(newest, newest.c.study_id == StudyRow.study_id)
        .join(RevisionRow, and_(RevisionRow.study_id == newest.c.study_id, RevisionRow.number == newest.c.number))
        .where(StudyRow.first_received_at > now - DRAWN_WITHIN, RevisionRow.assessment.is_not(None))
        .where(StudyRow.study_id.not_in(select(AuditArmRow.study_id)))
        .order_by(StudyRow.study_id)
    )
    found = [study for study, assessment in session.execute(query) if assessment and not flagged(assessment)]
    left_out = objected(session) if found else ()
    return [study for study in found if PatientIdentifier(study.patient_id, study.issuer_of_patient_id) not in left_out]


def _key(session: Session, now: datetime) -> bytes:
    row = session.get(AuditArmKeyRow, 1)
    if row is None:
        row = AuditArmKeyRow(id=1, key=secrets.token_bytes(_KEY_BYTES), made_at=now)
        session.add(row)
    return row.key


def _lot(key: bytes, study_instance_uid: str) -> float:
    """A number from 0 to 1."""
    return int.from_bytes(hmac.digest(key, study_instance_uid.encode(), "sha256")[:8]) / 2**64


def audit_arm_exams(ledger: Ledger) -> Sequence[AuditArmExam]:
    """The exams that the lot fell on, the oldest first; women who have objected since are left out."""
    query = select(AuditArmRow, StudyRow).join(StudyRow).where(AuditArmRow.drawn).order_by(AuditArmRow.at, AuditArmRow.study_id)
    with ledger.reading() as session:
        left_out = objected(session)
        return [
            AuditArmExam(StudyId(row.study_id), row.probability, row.at)
            for row, study in session.execute(query)
            if PatientIdentifier(study.patient_id, study.issuer_of_patient_id) not in left_out
        ]
