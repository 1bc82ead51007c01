"""What has outcomes matched anew: a study that is complete, patients who were merged, or turned out to be two.

Whoever changes one of these says so here in the same transaction, so that no outcome keeps a match that no longer holds. The worker finds them.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import or_, select, text, update
from sqlalchemy.orm import Session

from dosremc_node.ledger.hospital_tables import PatientChangeRow
from dosremc_node.ledger.outcome_tables import OutcomeRow, OutcomeState

UNDECIDED = (OutcomeState.MATCHED, OutcomeState.WAITING, OutcomeState.REVIEW)
"""The states of a report that counts: what it belongs to may change."""


def keep_matching_out(session: Session) -> None:
    """Until this transaction ends no outcome is matched: it and a change that come together must not miss each other.

    Taken before any row is locked that an outcome may refer to. (On SQLite every writer waits anyway.)
    """
    _lock(session, "ROW EXCLUSIVE")


def keep_changes_out(session: Session) -> None:
    """Until this transaction ends nothing changes that a match depends on, and no other outcome is entered."""
    _lock(session, "EXCLUSIVE")


def _lock(session: Session, mode: str) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"LOCK TABLE outcome IN {mode} MODE"))


def match_again(session: Session, patient_ids: Iterable[str], accession_number: str = "") -> None:
    """Have the outcomes matched again that name one of these patients, whoever she was ever merged with, or the accession number."""
    keep_matching_out(session)
    if session.scalar(select(OutcomeRow.id).limit(1)) is None:
        return
    of_them = OutcomeRow.patient_id.in_(_ever_linked(session, patient_ids))
    of_the_number = (OutcomeRow.accession_number == accession_number) & (OutcomeRow.accession_number != "")
    session.execute(update(OutcomeRow).where(OutcomeRow.state.in_(UNDECIDED), or_(of_them, of_the_number)).values(match_due=True))


def _ever_linked(session: Session, patient_ids: Iterable[str]) -> set[str]:
    """All numbers that a merge, undone or not, leads to, whoever issued them: too many do no harm."""
    known: set[str] = set()
    to_follow = {each for each in patient_ids if each}
    while to_follow:
        known |= to_follow
        either = or_(PatientChangeRow.patient_id.in_(to_follow), PatientChangeRow.prior_patient_id.in_(to_follow))
        merges = select(PatientChangeRow.patient_id, PatientChangeRow.prior_patient_id).where(
            PatientChangeRow.prior_patient_id.is_not(None), either
        )
        to_follow = {number for row in session.execute(merges) for number in row if number} - known
    return known
