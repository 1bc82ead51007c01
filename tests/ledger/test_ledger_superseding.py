"""When a rejection note of ours may go, and what it names. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

from harness.ledger import ASSESSMENT, NOW, answer, at_once, documents, held, image, never, opened, plan, state_of

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.deliveries import DueDelivery, documents_to_send, due_deliveries, give_up, keep_results, send_instead
from dosremc_node.ledger.overview import list_studies
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.revisions import drive_again, keep_assessment, keep_documents, open_revision, predecessor_documents
from dosremc_node.ledger.states import StudyState
from dosremc_node.ledger.superseding import superseded_documents
from dosremc_node.records import DeliveryOutcome, Document, DocumentKind, StudyRevision

LATER = NOW + timedelta(days=9999)
ALL = tuple(DocumentKind)


def rendered(ledger: Ledger, revision: StudyRevision, *, note: bool = True) -> StudyRevision:
    """The revision with a summary, a region report and a rejection note, due at the PACS."""
    made = documents(revision)
    if note:
        key_object = "1.2.840.10008.5.1.4.1.1.88.59"
        made.append(
            (Document(DocumentKind.REJECTION_NOTE, key_object, note_uid(revision), "2.25.99", "AI", b""), f"documents/cd/{'cd' * 32}")
        )
    hold = held(ledger, revision)
    keep_assessment(ledger, hold, ASSESSMENT)
    keep_documents(ledger, hold, made, [("pacs", ALL)])
    return revision


def first(ledger: Ledger) -> StudyRevision:
    return rendered(ledger, opened(ledger), note=False)


def following(ledger: Ledger, revision: StudyRevision) -> StudyRevision:
    """The next revision, opened by a late image."""
    record_object(ledger, *image(revision.number + 1), at_once)
    another = open_revision(ledger, revision.study_id, plan, LATER)
    assert another is not None
    return rendered(ledger, another)


def note_uid(revision: StudyRevision) -> str:
    return f"2.25.{revision.number}9"


def due(ledger: Ledger, revision: StudyRevision) -> DueDelivery | None:
    return next((each for each in due_deliveries(ledger, LATER) if each.number == revision.number), None)


def to_send(ledger: Ledger, revision: StudyRevision) -> list[str]:
    found = due(ledger, revision)
    return [each.sop_instance_uid for each in documents_to_send(ledger, found)] if found else []


def deliver(ledger: Ledger, revision: StudyRevision, *uids: str, outcome: DeliveryOutcome = DeliveryOutcome.DELIVERED) -> None:
    """Answer to these documents of a revision, or to all that may go."""
    found = due(ledger, revision)
    assert found is not None
    keep_results(ledger, found, answer(outcome, 0, *(uids or to_send(ledger, revision))), never, NOW)


def superseded(ledger: Ledger, revision: StudyRevision) -> list[str]:
    return [each.sop_instance_uid for each in superseded_documents(ledger, revision.study_id, revision.number, "pacs")]


def test_a_note_waits_until_the_reports_of_its_revision_have_arrived(ledger: Ledger) -> None:
    """There is no moment without a valid report; and its try has a name that no try before had."""
    one = first(ledger)
    deliver(ledger, one)
    two = following(ledger, one)
    names = [due(ledger, two)]
    assert to_send(ledger, two) == ["2.25.20", "2.25.21"]
    deliver(ledger, two, "2.25.20")
    names.append(due(ledger, two))
    assert to_send(ledger, two) == ["2.25.21"]
    deliver(ledger, two)
    names.append(due(ledger, two))
    assert to_send(ledger, two) == [note_uid(two)]
    assert len(set(names)) == 3
    assert state_of(ledger, two.study_id) is StudyState.DELIVERING
    deliver(ledger, two)
    assert state_of(ledger, two.study_id) is StudyState.DONE


def test_a_note_waits_for_what_is_parked_until_a_person_decides(ledger: Ledger) -> None:
    """The study shows as parked with the reason; once the report is driven again and has arrived, the note goes."""
    one = first(ledger)
    deliver(ledger, one)
    two = following(ledger, one)
    deliver(ledger, two, outcome=DeliveryOutcome.REFUSED)
    assert due(ledger, two) is None
    assert state_of(ledger, two.study_id) is StudyState.PARKED
    assert "pacs: in words" in list_studies(ledger)[0].reason
    drive_again(ledger, two.study_id, "administrator")
    deliver(ledger, two)
    assert to_send(ledger, two) == [note_uid(two)]


def test_a_note_waits_for_the_documents_that_it_rejects(ledger: Ledger) -> None:
    """A superseded report that is still on its way would arrive after its note, and stay."""
    one = first(ledger)
    two = following(ledger, one)
    deliver(ledger, two)
    assert due(ledger, two) is None
    deliver(ledger, one)
    assert to_send(ledger, two) == [note_uid(two)]
    assert superseded(ledger, two) == ["2.25.10", "2.25.11"]


def test_what_was_given_up_ends_its_note_too(ledger: Ledger) -> None:
    """Nothing has taken the place of what is there."""
    one = first(ledger)
    deliver(ledger, one)
    two = following(ledger, one)
    give_up(ledger, "pacs", two.study_id, "administrator", "test")
    assert due(ledger, two) is None
    assert superseded(ledger, two) == []
    assert state_of(ledger, two.study_id) is StudyState.DONE


def test_a_note_names_what_the_destination_holds_as_it_holds_it(ledger: Ledger) -> None:
    """A rendition in the place of its original; not what it never got, and of a kind that has no successor there nothing."""
    one = first(ledger)
    found = due(ledger, one)
    assert found is not None
    rendition = Document(DocumentKind.SUMMARY, "1.2.840.10008.5.1.4.1.1.88.22", "2.25.777", "2.25.778", "AI", b"")
    send_instead(ledger, found, "2.25.10", rendition, f"documents/ef/{'ef' * 32}")
    deliver(ledger, one, "2.25.777")
    deliver(ledger, one, "2.25.11", outcome=DeliveryOutcome.SKIPPED)
    two = following(ledger, one)
    assert superseded(ledger, two) == ["2.25.777"]
    assert superseded_documents(ledger, two.study_id, two.number, "elsewhere") == []
    deliver(ledger, two, "2.25.20", outcome=DeliveryOutcome.SKIPPED)
    assert superseded(ledger, two) == []


def test_a_further_note_names_what_no_note_has_rejected_before(ledger: Ledger) -> None:
    """Nor is a note itself superseded: what it says stays true."""
    one = first(ledger)
    deliver(ledger, one)
    two = following(ledger, one)
    deliver(ledger, two)
    deliver(ledger, two)
    three = following(ledger, two)
    assert superseded(ledger, three) == ["2.25.20", "2.25.21"]
    assert note_uid(two) not in {each.sop_instance_uid for each in predecessor_documents(ledger, three)}
    give_up(ledger, "pacs", three.study_id, "administrator", "test")
    assert superseded(ledger, following(ledger, three)) == ["2.25.20", "2.25.21"]


def test_what_an_earlier_note_has_spared_is_rejected_once_something_has_taken_its_place(ledger: Ledger) -> None:
    """The destination did not take the second summary; the third supersedes the first, which it still holds."""
    one = first(ledger)
    deliver(ledger, one)
    two = following(ledger, one)
    deliver(ledger, two, "2.25.20", outcome=DeliveryOutcome.SKIPPED)
    deliver(ledger, two, "2.25.21")
    assert superseded(ledger, two) == ["2.25.11"]
    deliver(ledger, two)
    three = following(ledger, two)
    assert superseded(ledger, three) == ["2.25.10", "2.25.21"]
