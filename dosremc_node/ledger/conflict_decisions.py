"""What a person sees of the conflicts between studies and patients, and decides on them, traced in the audit trail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dosremc_node.errors import NoSuchConflict, WrongResolution
from dosremc_node.ledger import audit
from dosremc_node.ledger.conflicts import ConflictKind, headers_of, identity
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.hospital_tables import ConflictRow
from dosremc_node.ledger.rematching import keep_matching_out, match_again
from dosremc_node.ledger.states import Standing
from dosremc_node.ledger.tables import StudyRow, fitting
from dosremc_node.records import PatientAndStudy, StudyId, to_json


@dataclass(frozen=True, slots=True)
class Conflict:
    """A conflict: nothing in it identifies a patient."""

    conflict_id: int
    study_id: StudyId
    kind: ConflictKind
    differing: str
    other_study_id: StudyId | None
    found_at: datetime
    resolved_at: datetime | None
    resolved_by: str
    resolution: str

    def __str__(self) -> str:
        if self.kind is ConflictKind.ACCESSION_NUMBER:
            return f"conflict {self.conflict_id}: {self.other_study_id} has the same accession number and another patient"
        what = "two patients stand in it" if self.kind is ConflictKind.TWO_PATIENTS else "its demographics were changed"
        return f"conflict {self.conflict_id}: {what} ({self.differing} differ)"


@dataclass(frozen=True, slots=True)
class Claim:
    """What some objects of a study say of the woman: for the screen of the person who decides, never for a log."""

    who: PatientAndStudy = field(repr=False)
    images: int
    copies: int
    """Objects that came again under a UID that was there."""


def list_conflicts(ledger: Ledger, *, resolved: bool = False) -> Sequence[Conflict]:
    """The conflicts that wait for a person, or all of them; the oldest first."""
    query = select(ConflictRow).order_by(ConflictRow.id)
    query = query if resolved else query.where(ConflictRow.resolved_at.is_(None))
    with ledger.reading() as session:
        return [_record(row) for row in session.scalars(query)]


def _record(row: ConflictRow) -> Conflict:
    other = StudyId(row.other_study_id) if row.other_study_id else None
    return Conflict(
        conflict_id=row.id,
        study_id=StudyId(row.study_id),
        kind=ConflictKind(row.kind),
        differing=row.differing,
        other_study_id=other,
        found_at=row.found_at,
        resolved_at=row.resolved_at,
        resolved_by=row.resolved_by,
        resolution=row.resolution,
    )


def open_conflicts(session: Session) -> Mapping[str, Sequence[Conflict]]:
    """By study, what waits for a person; an accession number that two patients have is told of both studies."""
    found: dict[str, list[Conflict]] = {}
    for row in session.scalars(select(ConflictRow).where(ConflictRow.resolved_at.is_(None)).order_by(ConflictRow.id)):
        for study_id in filter(None, (row.study_id, row.other_study_id)):
            found.setdefault(study_id, []).append(_record(row))
    return found


def conflict_counts(ledger: Ledger) -> Mapping[ConflictKind, int]:
    """How many conflicts wait for a person, by kind."""
    query = select(ConflictRow.kind, func.count()).where(ConflictRow.resolved_at.is_(None)).group_by(ConflictRow.kind)
    with ledger.reading() as session:
        counts = {ConflictKind(kind): count for kind, count in session.execute(query)}
    return {kind: counts.get(kind, 0) for kind in ConflictKind}


def claims(ledger: Ledger, conflict_id: int) -> Sequence[Claim]:
    """What the objects of a conflict's study (or of both studies) say of the woman, the first that came first; raises `NoSuchConflict`."""
    with ledger.reading() as session:
        row = _row(session, conflict_id)
        headers = [header for study_id in filter(None, (row.study_id, row.other_study_id)) for header in headers_of(session, study_id)]
    return _claims(headers)


def _claims(headers: Iterable[tuple[PatientAndStudy, Standing]]) -> list[Claim]:
    found: dict[tuple[str, ...], Claim] = {}
    for who, standing in headers:
        known = found.get(identity(who), Claim(who, 0, 0))
        is_image = standing is Standing.PRIMARY
        found[identity(who)] = Claim(known.who, known.images + is_image, known.copies + (not is_image))
    return list(found.values())


def _row(session: Session, conflict_id: int, *, lock: bool = False) -> ConflictRow:
    row = session.get(ConflictRow, conflict_id, with_for_update=lock)
    if row is None:
        raise NoSuchConflict(conflict=conflict_id)
    return row


def resolve(ledger: Ledger, conflict_id: int, actor: str, reason: str, keep: int | None = None) -> Conflict:
    """A person's decision: it is one woman (the flag is seen), or, of two patients, only the images of ``keep`` (of `claims`, from 1) stay.

    A study that waited is due; one that was assessed under an earlier decision gets a further revision. Raises `NoSuchConflict`,
    `WrongResolution`.
    """
    now = datetime.now(UTC)
    with ledger.transaction() as session:
        keep_matching_out(session)
        row = _row(session, conflict_id)
        study = session.get_one(StudyRow, row.study_id, with_for_update=True)
        row = _row(session, conflict_id, lock=True)
        kept = None if keep is None else _kept(session, row, keep)
        row.keep = to_json(kept) if kept else None
        row.resolved_at, row.resolved_by, row.resolution = now, actor[:64], "images-of-one-stay" if kept else "one-woman"
        if row.kind == ConflictKind.TWO_PATIENTS:
            match_again(session, [study.patient_id], study.accession_number)  # the revision that is opened now does it under the new name
            _go_on(study, kept or _claims(headers_of(session, study.study_id))[0].who, now)
        elif row.kind == ConflictKind.ACCESSION_NUMBER:
            row.resolution = "seen"
        detail = {"conflict": row.kind, "resolution": row.resolution, "kept": keep, "differing": row.differing, "reason": reason}
        audit.append(session, actor, "resolve conflict", study.study_id, detail)
        return _record(row)


def _kept(session: Session, row: ConflictRow, keep: int) -> PatientAndStudy:
    if row.kind != ConflictKind.TWO_PATIENTS:
        raise WrongResolution(conflict=row.id, why="images are set aside only where two patients stand in one study")
    known = _claims(headers_of(session, row.study_id))
    if not 1 <= keep <= len(known) or not known[keep - 1].images:
        raise WrongResolution(conflict=row.id, why=f"`dosremc-node conflicts show {row.id}` lists no images under the number {keep}")
    return known[keep - 1].who


def _go_on(study: StudyRow, who: PatientAndStudy, now: datetime) -> None:
    study.patient_id = fitting(StudyRow.patient_id, who.patient_id)
    study.issuer_of_patient_id = fitting(StudyRow.issuer_of_patient_id, who.issuer_of_patient_id)
    study.accession_number = fitting(StudyRow.accession_number, who.accession_number)
    study.due_at = study.due_at or now
    study.waiting_since = study.waiting_since or now
