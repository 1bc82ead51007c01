"""What messages say of patients: updates and merges, kept beside the studies, which stay as they were sent.

Nothing of a study or of a document is rewritten: a later revision says what its images say. That two identifiers are one woman's is known
here (`identities_of`) to whoever looks for what belongs to a study. A change counts until a person undoes it; its row stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from dosremc_node.errors import NoSuchPatientChange
from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.hospital_tables import MessageRow, PatientChangeRow
from dosremc_node.ledger.rematching import match_again
from dosremc_node.ledger.tables import StudyRow, fitting
from dosremc_node.records import PatientIdentifier, PatientMerge, PatientUpdate, StudyId


class ChangeKind(StrEnum):
    UPDATE = "update"
    MERGE = "merge"


@dataclass(frozen=True, slots=True)
class PatientChange:
    """An update or a merge that a message brought. It identifies the woman: for a person's screen, never for a log."""

    change_id: int
    kind: ChangeKind
    patient: PatientIdentifier
    prior: PatientIdentifier | None
    name: str = field(repr=False)
    birth_date: str = field(repr=False)
    sex: str
    sender: str
    changed_at: datetime
    undone_at: datetime | None
    undone_by: str


def apply_changes(session: Session, message_id: int, sender: str, changes: Sequence[PatientUpdate | PatientMerge], at: datetime) -> None:
    """Enter what a message says, in the transaction that enters the message; each change leaves its trace in the audit trail."""
    _match_outcomes_again(session, changes)  # before the trail is locked, as everywhere
    for change in changes:
        rows = _merges(session, change) if isinstance(change, PatientMerge) else _updates(change)
        for row in rows:
            row.message_id, row.changed_at = message_id, at
            session.add(row)
            session.flush()
            detail = {"change": row.id, "message": message_id, "patient": [row.patient_id, row.issuer]}
            if row.kind == ChangeKind.MERGE:
                detail["prior"] = [row.prior_patient_id, row.prior_issuer]
            audit.append(session, sender[:64] or "unknown sender", f"{row.kind} patient", f"patient change {row.id}", detail)


def _match_outcomes_again(session: Session, changes: Iterable[PatientUpdate | PatientMerge]) -> None:
    named = [(each.surviving, each.prior) if isinstance(each, PatientMerge) else each.identifiers for each in changes]
    if numbers := [fitting(PatientChangeRow.patient_id, patient.patient_id) for patients in named for patient in patients]:
        match_again(session, numbers)


def _updates(update: PatientUpdate) -> list[PatientChangeRow]:
    facts = {"name": update.name, "birth_date": update.birth_date, "sex": update.sex}
    return [PatientChangeRow(kind=ChangeKind.UPDATE.value, **_named(each), **facts) for each in update.identifiers]


def _merges(session: Session, merge: PatientMerge) -> list[PatientChangeRow]:
    """The row of a merge; none where it is in force already."""
    surviving, prior = _named(merge.surviving), _named(merge.prior)
    values = {**surviving, "prior_patient_id": prior["patient_id"], "prior_issuer": prior["issuer"]}
    in_force = select(PatientChangeRow.id).filter_by(kind=ChangeKind.MERGE.value, undone_at=None, **values)
    if session.scalar(in_force.limit(1)) is not None:
        return []
    return [PatientChangeRow(kind=ChangeKind.MERGE.value, **values)]


def _named(patient: PatientIdentifier) -> dict[str, str]:
    return {
        "patient_id": fitting(PatientChangeRow.patient_id, patient.patient_id),
        "issuer": fitting(PatientChangeRow.issuer, patient.issuer),
    }


# --- Who is who -------------------------------------------------------------------------------------------------------


def identities_of(ledger: Ledger, patient: PatientIdentifier) -> frozenset[PatientIdentifier]:
    """All identifiers of the woman who has this one, after the merges in force: what belongs to her may have come under any of them.

    A number without an issuer is the same as the number with one, unless the ledger knows that number of more than one issuer.
    """
    with ledger.reading() as session:
        return identities(session, patient)


def identities(session: Session, patient: PatientIdentifier) -> frozenset[PatientIdentifier]:
    """The same within a transaction."""
    known: set[PatientIdentifier] = set()
    to_follow = {patient}
    while to_follow:
        known |= to_follow
        to_follow = {other for each in to_follow for other in _same_woman(session, each)} - known
    return frozenset(known)


def _same_woman(session: Session, patient: PatientIdentifier) -> set[PatientIdentifier]:
    """What one step leads to: the other side of each merge, and the same number with or without its issuer."""
    merges = select(PatientChangeRow).filter_by(kind=ChangeKind.MERGE.value, undone_at=None)
    into = session.scalars(merges.filter_by(prior_patient_id=patient.patient_id, prior_issuer=patient.issuer))
    found = {PatientIdentifier(row.patient_id, row.issuer) for row in into}
    given_up = session.scalars(merges.filter_by(patient_id=patient.patient_id, issuer=patient.issuer))
    found |= {PatientIdentifier(row.prior_patient_id or "", row.prior_issuer or "") for row in given_up}
    issuers = issuers_of(session, patient.patient_id) | {patient.issuer} - {""}
    if len(issuers) == 1:
        found |= {PatientIdentifier(patient.patient_id, issuer) for issuer in ("", *issuers)}
    return found


def issuers_of(session: Session, patient_id: str) -> set[str]:
    """Who is known to have issued this number."""
    in_force = PatientChangeRow.undone_at.is_(None)
    queries = (
        select(StudyRow.issuer_of_patient_id).where(StudyRow.patient_id == patient_id),
        select(PatientChangeRow.issuer).where(PatientChangeRow.patient_id == patient_id, in_force),
        select(PatientChangeRow.prior_issuer).where(PatientChangeRow.prior_patient_id == patient_id, in_force),
    )
    return {issuer for query in queries for issuer in session.scalars(query.distinct()) if issuer}


def studies_of(ledger: Ledger, patient: PatientIdentifier) -> Sequence[StudyId]:
    """The studies that came under any of a woman's identifiers."""
    with ledger.reading() as session:
        found = {
            study_id
            for each in identities(session, patient)
            for study_id in session.scalars(
                select(StudyRow.study_id).where(StudyRow.patient_id == each.patient_id, StudyRow.issuer_of_patient_id == each.issuer)
            )
        }
    return [StudyId(each) for each in sorted(found)]


# --- For a person -----------------------------------------------------------------------------------------------------


def list_changes(ledger: Ledger, *, undone: bool = False) -> Sequence[PatientChange]:
    """The changes in force, or all that ever came; the oldest first."""
    query = select(PatientChangeRow, MessageRow.sender).join(MessageRow).order_by(PatientChangeRow.id)
    query = query if undone else query.where(PatientChangeRow.undone_at.is_(None))
    with ledger.reading() as session:
        return [_record(row, sender) for row, sender in session.execute(query)]


def _record(row: PatientChangeRow, sender: str) -> PatientChange:
    prior = None if row.prior_patient_id is None else PatientIdentifier(row.prior_patient_id, row.prior_issuer or "")
    return PatientChange(
        change_id=row.id,
        kind=ChangeKind(row.kind),
        patient=PatientIdentifier(row.patient_id, row.issuer),
        prior=prior,
        name=row.name,
        birth_date=row.birth_date,
        sex=row.sex,
        sender=sender,
        changed_at=row.changed_at,
        undone_at=row.undone_at,
        undone_by=row.undone_by,
    )


def undo(ledger: Ledger, change_id: int, actor: str, reason: str) -> None:
    """Have a change not count any more; raises `NoSuchPatientChange` where there is none in force of that number."""
    with ledger.transaction() as session:
        row = session.get(PatientChangeRow, change_id, with_for_update=True)
        if row is None or row.undone_at is not None:
            raise NoSuchPatientChange(change=change_id)
        match_again(session, filter(None, (row.patient_id, row.prior_patient_id)))
        row.undone_at, row.undone_by = datetime.now(UTC), actor[:64]
        audit.append(session, actor, f"undo {row.kind} of patient", f"patient change {row.id}", {"reason": reason})
