"""Who is who after merges, and what a person can undo. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.ledger import NOW, at_once, image, plan
from harness.messages_in_the_ledger import says

from dosremc_node.errors import NoSuchPatientChange
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.audit import first_broken_link
from dosremc_node.ledger.demographics import identities_of, list_changes, studies_of, undo
from dosremc_node.ledger.overview import find_study
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.revisions import open_revision
from dosremc_node.records import PatientIdentifier, PatientMerge, PatientUpdate

A, B, C = (PatientIdentifier(each, "HOSPITAL") for each in "ABC")


def test_merges_lead_from_any_identifier_to_all(ledger: Ledger) -> None:
    """A into B and B into C: whoever looks for one finds all three, whichever she starts from."""
    says(ledger, PatientMerge(A, B))
    says(ledger, PatientMerge(B, C))
    for each in (A, B, C):
        assert {A, B, C} <= identities_of(ledger, each)


def test_an_undone_merge_counts_no_more(ledger: Ledger) -> None:
    """Two women who were merged by mistake are two again; the row stays, and a second time there is nothing to undo."""
    says(ledger, PatientMerge(A, B))
    says(ledger, PatientMerge(B, C))
    undo(ledger, list_changes(ledger)[0].change_id, "someone", "wrong patient")
    assert (A in identities_of(ledger, C), B in identities_of(ledger, C)) == (False, True)
    assert [bool(each.undone_at) for each in list_changes(ledger, undone=True)] == [True, False]
    assert first_broken_link(ledger) is None
    with pytest.raises(NoSuchPatientChange):
        undo(ledger, list_changes(ledger, undone=True)[0].change_id, "someone", "again")


def test_a_merge_that_is_in_force_is_not_entered_twice(ledger: Ledger) -> None:
    """A sender that repeats a merge in another message adds nothing that would have to be undone twice."""
    says(ledger, PatientMerge(A, B))
    says(ledger, PatientMerge(A, B))
    assert len(list_changes(ledger)) == 1


def test_the_same_number_of_two_issuers_is_two_women(ledger: Ledger) -> None:
    """Without an issuer a number is taken for the only one that is known, and for nobody's where there are two."""
    one, other, bare = PatientIdentifier("7", "NORTH"), PatientIdentifier("7", "SOUTH"), PatientIdentifier("7")
    says(ledger, PatientUpdate((one,), "DOE^JANE"))
    assert identities_of(ledger, bare) == {bare, one}
    says(ledger, PatientUpdate((other,), "ROE^MARY"))
    assert identities_of(ledger, bare) == {bare}
    assert other not in identities_of(ledger, one)


def test_a_merge_finds_studies_and_changes_none(ledger: Ledger) -> None:
    """The study stays as it was sent, and so does what a later revision says of her; it is found under the surviving identifier."""
    received, header = image(1)
    record_object(ledger, received, replace(header, who=replace(header.who, patient_id="A", issuer_of_patient_id="HOSPITAL")), at_once)
    study = find_study(ledger, "1.2.3")
    assert study is not None
    says(ledger, PatientMerge(A, B), PatientUpdate((B,), "ROE^JANE"))
    assert list(studies_of(ledger, B)) == [study]
    revision = open_revision(ledger, study, plan, NOW)
    assert revision is not None
    assert (revision.who.patient_id, revision.who.issuer_of_patient_id) == ("A", "HOSPITAL")


def test_what_identifies_a_patient_is_not_in_the_representation(ledger: Ledger) -> None:
    """A change that is printed by accident names nobody."""
    says(ledger, PatientUpdate((PatientIdentifier("SECRET-ID", "SECRET-ISSUER"),), "SECRET^NAME", "19600102", "F"))
    assert not any(secret in repr(list_changes(ledger)) for secret in ("SECRET", "1960"))
