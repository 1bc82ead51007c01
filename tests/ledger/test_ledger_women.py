"""Which studies are one woman's, for splits. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from harness.ledger import NOW, at_once, image

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.demographics import list_changes, studies_of, undo
from dosremc_node.ledger.messages import IncomingMessage, MessageState, enter_message
from dosremc_node.ledger.overview import find_study
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.women import women_of
from dosremc_node.records import PatientIdentifier, PatientMerge, StudyId

A, B, C, D = (PatientIdentifier(each, "HOSPITAL") for each in "ABCD")


def merged(ledger: Ledger, *merges: PatientMerge) -> None:
    """Each merge by a message of its own."""
    for number, merge in enumerate(merges):
        message = IncomingMessage(f"{number:064x}", b"MSH", "ADT^A40", str(number), "RIS", "127.0.0.1", NOW)
        assert enter_message(ledger, message, MessageState.APPLIED, "", [merge])


def studies_under(ledger: Ledger, *patients: PatientIdentifier) -> list[StudyId]:
    """A study under each identifier."""
    found = []
    for number, patient in enumerate(patients):
        received, header = image(1, f"1.2.{number}", sha256=f"{number:064x}")
        who = replace(header.who, patient_id=patient.patient_id, issuer_of_patient_id=patient.issuer)
        record_object(ledger, received, replace(header, who=who), at_once)
        study = find_study(ledger, f"1.2.{number}")
        assert study is not None
        found.append(study)
    return found


def parts(ledger: Ledger) -> set[frozenset[StudyId]]:
    """The studies of each woman."""
    found = defaultdict(set)
    for study, woman in women_of(ledger).items():
        found[woman].add(study)
    return {frozenset(each) for each in found.values()}


def test_each_part_is_what_the_search_for_one_woman_finds(ledger: Ledger) -> None:
    """Merges in a chain, one undone, a number with, without and with two issuers: the same answer as `studies_of`, for all at once."""
    twice = [PatientIdentifier("7", "ONE"), PatientIdentifier("7", "TWO"), PatientIdentifier("7")]
    once = [PatientIdentifier("8", "ONE"), PatientIdentifier("8")]
    named = [A, B, C, D, *twice, *once, A]
    studies_under(ledger, *named)
    merged(ledger, PatientMerge(A, B), PatientMerge(C, B), PatientMerge(D, C))
    undo(ledger, list_changes(ledger)[-1].change_id, "someone", "wrong patient")
    assert parts(ledger) == {frozenset(studies_of(ledger, each)) for each in named}
    assert sorted(map(len, parts(ledger))) == [1, 1, 1, 1, 2, 4]


def test_studies_without_a_patient_id_are_women_of_their_own(ledger: Ledger) -> None:
    """Two nameless exams are not taken for one woman's."""
    studies_under(ledger, PatientIdentifier(""), PatientIdentifier(""))
    assert sorted(map(len, parts(ledger))) == [1, 1]
