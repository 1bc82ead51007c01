"""Reports of pathology and follow-up: entered as they come, matched to an exam and a breast, left to a person where that is not certain.

Nothing is ever deleted. Of the versions of one result one is in force; a correction or a withdrawal moves the label with it. Whatever moves
leaves its trace in the audit trail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from dosremc_node.errors import NoSuchOutcome, NoSuchStudy, WrongOutcomeResolution
from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.outcome_matching import Facts, Match, find_match
from dosremc_node.ledger.outcome_tables import OutcomeRow, OutcomeState
from dosremc_node.ledger.rematching import UNDECIDED, keep_changes_out
from dosremc_node.ledger.tables import StudyRow, fitting
from dosremc_node.records import Diagnosis, Laterality, OutcomeReport, OutcomeStatus, PatientIdentifier, StudyId, from_json, to_json

WITHIN = timedelta(days=1096)
"""How long after an exam a report can be of it, where the settings say nothing else (`outcomes.match_months`)."""
_AT_ONCE = 100
_Placed = tuple[Facts, Match]
_Trace = tuple[str, str, Mapping[str, object]]
_RANKS = (OutcomeStatus.PRELIMINARY, OutcomeStatus.FINAL, OutcomeStatus.CORRECTED, OutcomeStatus.WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person said of a report, where it did not say so itself. ``dismissed``: it is of no exam here."""

    study_id: StudyId | None = None
    laterality: Laterality | None = None
    diagnosis: Diagnosis | None = None
    dismissed: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One version of one result, and where it belongs. It identifies the woman: for a person's screen, never for a log."""

    outcome_id: int
    source: str
    identifier: str = field(repr=False)
    status: OutcomeStatus
    patient: PatientIdentifier
    accession_number: str = field(repr=False)
    laterality: Laterality | None
    diagnosis: Diagnosis | None
    examined_on: date | None
    codes: tuple[str, ...]
    text: str = field(repr=False)
    state: OutcomeState
    study_id: StudyId | None
    score: float | None
    reason: str
    decided_by: str
    received_at: datetime
    settled_at: datetime


# --- Reports come -----------------------------------------------------------------------------------------------------


def enter_report(ledger: Ledger, report: OutcomeReport, now: datetime, within: timedelta = WITHIN) -> int:
    """Enter what a report says of a breast and match it; when this returns, its row is committed. Answers its number.

    The same report twice is one row. Versions of one result share source and identifier, whatever order they come in. Where each says when it
    was issued the last one is in force; otherwise a correction or a withdrawal comes before a final report. So a result that is of two
    breasts has two identifiers.
    """
    result, content = _digest(report.source, report.identifier), _digest(to_json(report))
    with ledger.transaction() as session:
        keep_changes_out(session)
        known = session.scalar(select(OutcomeRow.id).filter_by(result_sha256=result, content_sha256=content))
        if known is not None:
            return known
        row = _row(report, result, content, now)
        session.add(row)
        session.flush()
        detail = {"status": report.status, "patient": [row.patient_id, row.issuer], "codes": report.codes}
        moves = _settle(session, result, within, now)
        _trace(session, row.source or audit.NODE, [("enter outcome", _subject(row), detail), *moves])
        return row.id


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogatepass")).hexdigest()


def _row(report: OutcomeReport, result: str, content: str, now: datetime) -> OutcomeRow:
    return OutcomeRow(
        result_sha256=result,
        content_sha256=content,
        source=_fitting(OutcomeRow.source, report.source),
        status=report.status,
        patient_id=_fitting(OutcomeRow.patient_id, report.patient.patient_id),
        issuer=_fitting(OutcomeRow.issuer, report.patient.issuer),
        accession_number=_fitting(OutcomeRow.accession_number, report.accession_number),
        report=to_json(report),
        state=OutcomeState.WAITING,
        issued_at=report.issued_at,
        received_at=now,
        settled_at=now,
    )


def _fitting(column: InstrumentedAttribute[str], value: str) -> str:
    """Without control characters, of which PostgreSQL refuses NUL, and no longer than the column."""
    return fitting(column, "".join(character for character in value if character.isprintable()))


def _subject(row: OutcomeRow) -> str:
    return f"outcome {row.id}"


# --- Where they belong ------------------------------------------------------------------------------------------------


def match_due(ledger: Ledger, within: timedelta, now: datetime) -> int:
    """Match again what something has changed for (`rematching`); answers how many there were, a hundred at most."""
    due = select(OutcomeRow.id).where(OutcomeRow.match_due).limit(_AT_ONCE)
    with ledger.reading() as session:  # which stops no writer: there is hardly ever anything
        if session.scalar(due) is None:
            return 0
    with ledger.transaction() as session:
        keep_changes_out(session)
        results = session.scalars(
            select(OutcomeRow.result_sha256).where(OutcomeRow.match_due).order_by(OutcomeRow.id).limit(_AT_ONCE)
        ).all()
        _trace(session, audit.NODE, [move for result in dict.fromkeys(results) for move in _settle(session, result, within, now)])
        return len(results)


def _settle(session: Session, result: str, within: timedelta, now: datetime) -> list[_Trace]:
    """Say anew which version of a result is in force and where it belongs; answers what moved."""
    versions = session.scalars(select(OutcomeRow).filter_by(result_sha256=result).order_by(OutcomeRow.id)).all()
    in_force = _in_force(versions)
    moves = [_move(row, _placed(session, row, in_force, versions, within), now) for row in versions]
    return [move for move in moves if move]


def _trace(session: Session, actor: str, traces: Iterable[_Trace]) -> None:
    """Into the trail, which is locked after all else: what is written before refers to studies, which others lock before the trail."""
    session.flush()
    for action, subject, detail in traces:
        audit.append(session, actor, action, subject, detail)


def _placed(session: Session, row: OutcomeRow, in_force: OutcomeRow, versions: Sequence[OutcomeRow], within: timedelta) -> _Placed:
    if row is not in_force:
        return _facts(row), Match(OutcomeState.SUPERSEDED, row.study_id, 0.0, f"{_subject(in_force)} is in force")
    facts = _facts(row, versions)
    if row.decision and from_json(Decision, row.decision).dismissed and facts.status is not OutcomeStatus.WITHDRAWN:
        return facts, Match(OutcomeState.DISMISSED, None, 0.0, "a person said that it is of no exam here")
    return facts, find_match(session, facts, within)


def _in_force(versions: Sequence[OutcomeRow]) -> OutcomeRow:
    timed = all(row.issued_at for row in versions)

    def precedence(row: OutcomeRow) -> tuple[object, ...]:
        rank, at = _RANKS.index(OutcomeStatus(row.status)), row.issued_at or row.received_at
        return (rank > 0, at, rank, row.id) if timed else (rank, at, row.id)

    return max(versions, key=precedence)


def _facts(row: OutcomeRow, versions: Sequence[OutcomeRow] = ()) -> Facts:
    """What holds of a report: what it says, and what a person said in its place."""
    report = from_json(OutcomeReport, row.report)
    decision = from_json(Decision, row.decision) if row.decision else None
    doubts = () if decision else tuple(filter(None, (report.review, _contradiction(report, versions))))
    decided = decision or Decision()
    return Facts(
        status=report.status,
        patient=PatientIdentifier(row.patient_id, row.issuer),
        accession_number=row.accession_number,
        laterality=decided.laterality or report.laterality,
        diagnosis=decided.diagnosis or report.diagnosis,
        examined_on=report.examined_on,
        study_id=decided.study_id,
        doubts=doubts,
    )


def _contradiction(report: OutcomeReport, versions: Sequence[OutcomeRow]) -> str:
    """A second final report that says something else is no correction: it may be of the other breast, or a mistake."""
    others = [from_json(OutcomeReport, row.report) for row in versions if row.status == OutcomeStatus.FINAL]
    differ = [each for each in others if _differ(report.laterality, each.laterality) or _differ(report.diagnosis, each.diagnosis)]
    return "another final report of the same result says something else" if report.status is OutcomeStatus.FINAL and differ else ""


def _differ(one: object, other: object) -> bool:
    return one is not None and other is not None and one != other


def _move(row: OutcomeRow, placed: _Placed, now: datetime) -> _Trace | None:
    """Enter where a version belongs; None where it was there already."""
    facts, match = placed
    before = _standing(row)
    row.laterality, row.diagnosis, row.examined_on = facts.laterality, facts.diagnosis, facts.examined_on
    row.state, row.study_id, row.score, row.reason, row.match_due = match.state, match.study_id, match.score, match.reason, False
    after = _standing(row)
    if after == before:
        return None
    row.settled_at = now
    return "match outcome", _subject(row), {"was": before, "is": after, "score": match.score, "why": match.reason}


def _standing(row: OutcomeRow) -> dict[str, str | None]:
    return {"state": row.state, "study": row.study_id, "laterality": row.laterality, "diagnosis": row.diagnosis}


# --- A person decides -------------------------------------------------------------------------------------------------


def resolve(ledger: Ledger, outcome_id: int, decision: Decision, actor: str, within: timedelta = WITHIN) -> Outcome:
    """Enter what a person says of a report; what she does not say stays as the report has it.

    Raises `NoSuchOutcome` where none of that number is in force, `NoSuchStudy`, and `WrongOutcomeResolution` where it would still not be
    certain: then nothing is changed.
    """
    now = datetime.now(UTC)
    with ledger.transaction() as session:
        keep_changes_out(session)
        row = session.get(OutcomeRow, outcome_id)
        if row is None or row.state not in (*UNDECIDED, OutcomeState.DISMISSED):
            raise NoSuchOutcome(outcome=outcome_id)
        if decision.study_id is not None and session.get(StudyRow, decision.study_id) is None:
            raise NoSuchStudy(study=decision.study_id)
        row.decision, row.decided_by = to_json(decision), actor[:64]
        moves = _settle(session, row.result_sha256, within, now)
        _trace(session, actor, [("resolve outcome", _subject(row), asdict(decision)), *moves])
        if row.state == OutcomeState.REVIEW:
            raise WrongOutcomeResolution(outcome=outcome_id, why=row.reason)
        return _record(row)


def list_outcomes(ledger: Ledger, states: Sequence[OutcomeState] = ()) -> Sequence[Outcome]:
    """The versions of results in these states, or all that ever came; the oldest first."""
    query = select(OutcomeRow).order_by(OutcomeRow.id)
    query = query.where(OutcomeRow.state.in_(states)) if states else query
    with ledger.reading() as session:
        return [_record(row) for row in session.scalars(query)]


def _record(row: OutcomeRow) -> Outcome:
    report = from_json(OutcomeReport, row.report)
    return Outcome(
        outcome_id=row.id,
        source=report.source,
        identifier=report.identifier,
        status=report.status,
        patient=report.patient,
        accession_number=report.accession_number,
        laterality=Laterality(row.laterality) if row.laterality else None,
        diagnosis=Diagnosis(row.diagnosis) if row.diagnosis else None,
        examined_on=row.examined_on,
        codes=report.codes,
        text=report.text,
        state=OutcomeState(row.state),
        study_id=StudyId(row.study_id) if row.study_id else None,
        score=row.score,
        reason=row.reason,
        decided_by=row.decided_by,
        received_at=row.received_at,
        settled_at=row.settled_at,
    )


def outcome_counts(ledger: Ledger) -> Mapping[OutcomeState, int]:
    """How many versions of results are in each state."""
    query = select(OutcomeRow.state, func.count()).group_by(OutcomeRow.state)
    with ledger.reading() as session:
        counts = {OutcomeState(state): count for state, count in session.execute(query)}
    return {state: counts.get(state, 0) for state in OutcomeState}
