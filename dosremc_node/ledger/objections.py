"""Women who object to their data being learnt from: they are in no cohort, under any of their identifiers, until they say otherwise.

An objection names a woman, not her studies: it holds for those too that come later, and after a merge for all that is hers. Where it is not
certain that a number is hers, because several issuers gave it, it is taken to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dosremc_node.errors import NoSuchObjection
from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.demographics import identities, issuers_of
from dosremc_node.ledger.outcome_tables import ObjectionRow
from dosremc_node.ledger.tables import fitting
from dosremc_node.records import PatientIdentifier


@dataclass(frozen=True, slots=True)
class Objection:
    """For a person's screen, never for a log: it identifies the woman."""

    objection_id: int
    patient: PatientIdentifier
    actor: str
    objected_at: datetime
    revoked_at: datetime | None
    revoked_by: str


def objected(session: Session) -> set[PatientIdentifier]:
    """Every identifier, after the merges in force, under which a study may be of a woman who objected."""
    rows = session.scalars(select(ObjectionRow).where(ObjectionRow.revoked_at.is_(None)))
    found = {identifier for row in rows for identifier in _may_be(session, PatientIdentifier(row.patient_id, row.issuer))}
    return found | {PatientIdentifier(each.patient_id) for each in found}


def _may_be(session: Session, patient: PatientIdentifier) -> set[PatientIdentifier]:
    named = {patient}
    if not patient.issuer:
        named |= {PatientIdentifier(patient.patient_id, issuer) for issuer in issuers_of(session, patient.patient_id)}
    return {each for one in named for each in identities(session, one)}


def object_to(ledger: Ledger, patient: PatientIdentifier, actor: str, reason: str) -> int:
    """Enter a woman's objection; answers its number, which is that of the one in force where she has objected already."""
    patient_id, issuer = fitting(ObjectionRow.patient_id, patient.patient_id), fitting(ObjectionRow.issuer, patient.issuer)
    with ledger.transaction() as session:
        audit.take_turn(session)
        in_force = select(ObjectionRow.id).filter_by(patient_id=patient_id, issuer=issuer, revoked_at=None)
        if (known := session.scalar(in_force)) is not None:
            return known
        row = ObjectionRow(patient_id=patient_id, issuer=issuer, actor=actor[:64], objected_at=datetime.now(UTC))
        session.add(row)
        session.flush()
        audit.append(session, actor, "enter objection", f"objection {row.id}", {"patient": [patient_id, issuer], "reason": reason})
        return row.id


def revoke(ledger: Ledger, objection_id: int, actor: str, reason: str) -> None:
    """Have an objection hold no more; raises `NoSuchObjection` where none of that number is in force."""
    with ledger.transaction() as session:
        row = session.get(ObjectionRow, objection_id, with_for_update=True)
        if row is None or row.revoked_at is not None:
            raise NoSuchObjection(objection=objection_id)
        row.revoked_at, row.revoked_by = datetime.now(UTC), actor[:64]
        audit.append(session, actor, "revoke objection", f"objection {row.id}", {"reason": reason})


def list_objections(ledger: Ledger, *, revoked: bool = False) -> Sequence[Objection]:
    """The objections in force, or all that ever were; the oldest first."""
    query = select(ObjectionRow).order_by(ObjectionRow.id)
    query = query if revoked else query.where(ObjectionRow.revoked_at.is_(None))
    with ledger.reading() as session:
        return [
            Objection(row.id, PatientIdentifier(row.patient_id, row.issuer), row.actor, row.objected_at, row.revoked_at, row.revoked_by)
            for row in session.scalars(query)
        ]
