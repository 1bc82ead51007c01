"""Which studies are of one woman, after the merges in force: for splits in which no woman may stand on both sides.

The answers are numbers without a meaning: no identifier leaves the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.demographics import ChangeKind
from dosremc_node.ledger.hospital_tables import PatientChangeRow
from dosremc_node.ledger.tables import StudyRow
from dosremc_node.records import PatientIdentifier, StudyId

_Pair = tuple[PatientIdentifier, PatientIdentifier]


def women_of(ledger: Ledger) -> Mapping[StudyId, int]:
    """The number of the woman of every study. A study without a patient ID is a woman of its own: nothing says that she is another's.

    The rule is that of `identities_of`, for all women at once.
    """
    with ledger.reading() as session:
        studies = session.execute(
            select(StudyRow.study_id, StudyRow.patient_id, StudyRow.issuer_of_patient_id).order_by(StudyRow.study_id)
        ).all()
        merges = _merges(session)
    named = {study_id: PatientIdentifier(patient_id, issuer) for study_id, patient_id, issuer in studies if patient_id}
    known = {*named.values(), *(each for pair in merges for each in pair)}
    leads_to = _joined(known, [*merges, *_with_and_without_issuer(known)])
    numbers: dict[PatientIdentifier | str, int] = {}
    return {
        StudyId(study_id): numbers.setdefault(leads_to[named[study_id]] if study_id in named else study_id, len(numbers))
        for study_id, _, _ in studies
    }


def _merges(session: Session) -> list[_Pair]:
    rows = session.scalars(select(PatientChangeRow).filter_by(kind=ChangeKind.MERGE.value, undone_at=None))
    return [
        (PatientIdentifier(row.patient_id, row.issuer), PatientIdentifier(row.prior_patient_id or "", row.prior_issuer or ""))
        for row in rows
    ]


def _with_and_without_issuer(known: Iterable[PatientIdentifier]) -> list[_Pair]:
    """A number without an issuer is the same as the number with one, unless that number is known of more than one issuer."""
    issuers: defaultdict[str, set[str]] = defaultdict(set)
    for each in known:
        issuers[each.patient_id].add(each.issuer)
    return [
        (PatientIdentifier(patient_id, ""), PatientIdentifier(patient_id, max(of_number)))
        for patient_id, of_number in issuers.items()
        if "" in of_number and len(of_number) == 2
    ]


def _joined(known: Iterable[PatientIdentifier], pairs: Iterable[_Pair]) -> Mapping[PatientIdentifier, PatientIdentifier]:
    """Of each identifier the one that stands for all that lead to each other (union by following links)."""
    link = {each: each for each in known}

    def end_of(each: PatientIdentifier) -> PatientIdentifier:
        while link[each] != each:
            link[each] = each = link[link[each]]
        return each

    for one, other in pairs:
        link[end_of(one)] = end_of(other)
    return {each: end_of(each) for each in link}
