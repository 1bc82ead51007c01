"""Done means committed, where it is asked for. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Thread

from harness.ledger import NOW, answer, at_once, delivering, image, never, plan, state_of
from sqlalchemy import select

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.audit import first_broken_link
from dosremc_node.ledger.commitments import due_commitments, keep_report, keep_request, open_request, park_overdue
from dosremc_node.ledger.deliveries import documents_to_send, due_deliveries, give_up, keep_results, original_of, send_instead
from dosremc_node.ledger.overview import list_reports, list_studies
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.revisions import drive_again, open_revision, predecessor_documents
from dosremc_node.ledger.states import DeliveryState, RevisionState, StudyState
from dosremc_node.ledger.tables import RevisionRow
from dosremc_node.records import DeliveryOutcome, Document, DocumentKind, StudyRevision

LATER = NOW + timedelta(days=9999)
DEADLINE = LATER + timedelta(hours=24)
DELIVERED, RETRY, REFUSED = DeliveryOutcome.DELIVERED, DeliveryOutcome.RETRY, DeliveryOutcome.REFUSED


def stored(ledger: Ledger) -> tuple[StudyRevision, list[str]]:
    """A revision whose documents the destination stored, and has yet to commit to."""
    revision = delivering(ledger)
    (due,) = due_deliveries(ledger, LATER)
    uids = [each.sop_instance_uid for each in documents_to_send(ledger, due)]
    keep_results(ledger, due, answer(DELIVERED, 0, *uids), never, LATER, commit_by=DEADLINE)
    return revision, uids


def asked(ledger: Ledger, transaction_uid: str = "2.25.77", at: datetime = LATER) -> None:
    (due,) = due_commitments(ledger, at)
    assert open_request(ledger, due, transaction_uid, at, at + timedelta(hours=6))


def again(_destination: str, _attempts: int) -> datetime | None:
    return LATER


def test_stored_is_not_done_until_it_is_committed(ledger: Ledger) -> None:
    """Promise 2: with storage commitment on, a study is done when all is committed, and not before."""
    revision, uids = stored(ledger)
    asked(ledger)
    assert due_commitments(ledger, LATER) == []
    assert keep_report(ledger, "2.25.77", answer(DELIVERED, 0, uids[0]), again, LATER)
    assert state_of(ledger, revision.study_id) is StudyState.DELIVERING
    assert {row.state for row in list_reports(ledger)} == {DeliveryState.DELIVERED, DeliveryState.UNCOMMITTED}
    assert keep_report(ledger, "2.25.77", answer(DELIVERED, 0, uids[1]), again, LATER)
    assert state_of(ledger, revision.study_id) is StudyState.DONE


def test_a_request_is_opened_once(ledger: Ledger) -> None:
    """A step that is repeated after a crash, or in two workers, makes no second request."""
    stored(ledger)
    (due,) = due_commitments(ledger, LATER)
    assert len(open_request(ledger, due, "2.25.77", LATER, DEADLINE)) == 2
    assert open_request(ledger, due, "2.25.78", LATER, DEADLINE) == []


def test_what_is_not_committed_to_is_sent_again(ledger: Ledger) -> None:
    """0x0112: the same document is due again, and commitment is asked for under a new transaction; a stale report changes nothing."""
    revision, uids = stored(ledger)
    asked(ledger)
    failure = answer(RETRY, 0x0112, uids[0])
    keep_report(ledger, "2.25.77", [*failure, *answer(DELIVERED, 0, uids[1])], again, LATER)
    (due,) = due_deliveries(ledger, LATER)
    assert [each.sop_instance_uid for each in documents_to_send(ledger, due)] == [uids[0]]
    keep_results(ledger, due, answer(DELIVERED, 0, uids[0]), never, LATER, commit_by=DEADLINE)
    asked(ledger, "2.25.78")
    keep_report(ledger, "2.25.77", failure, again, LATER)
    assert due_deliveries(ledger, LATER) == []
    keep_report(ledger, "2.25.78", answer(DELIVERED, 0, uids[0]), again, LATER)
    assert state_of(ledger, revision.study_id) is StudyState.DONE


def test_without_an_answer_it_is_asked_again_and_then_parked(ledger: Ledger) -> None:
    """A deadline is a row: nobody waits; what is not committed to in its time is parked in words, and a late report still counts."""
    revision, uids = stored(ledger)
    asked(ledger)
    keep_request(ledger, "2.25.77", answer(DELIVERED, 0, "2.25.77")[0], LATER + timedelta(hours=6))
    asked(ledger, "2.25.78", LATER + timedelta(hours=6))
    assert park_overdue(ledger, DEADLINE - timedelta(seconds=1)) == 0
    assert park_overdue(ledger, DEADLINE) == 2
    assert state_of(ledger, revision.study_id) is StudyState.PARKED
    assert "not committed to by" in next(row.reason for row in list_studies(ledger))
    keep_report(ledger, "2.25.77", answer(DELIVERED, 0, *uids), again, DEADLINE)
    assert state_of(ledger, revision.study_id) is StudyState.DONE


def test_a_deadline_that_passes_while_something_else_is_answered_leaves_no_revision_between_two_states(ledger: Ledger) -> None:
    """One process parks what is overdue, another enters an answer to the rest of the revision: whoever is second sees what the first said."""
    delivering(ledger)
    (due,) = due_deliveries(ledger, LATER)
    uids = [each.sop_instance_uid for each in documents_to_send(ledger, due)]
    keep_results(ledger, due, answer(DELIVERED, 0, uids[0]), never, LATER, commit_by=DEADLINE)
    sweeper = Thread(target=park_overdue, args=(ledger, DEADLINE))

    def meanwhile(_attempts: int) -> datetime | None:
        """The rule is asked within the transaction: nobody else may settle the revision before it ends."""
        sweeper.start()
        sweeper.join(1.0)
        return None

    keep_results(ledger, due, answer(RETRY, 0xA700, uids[1]), meanwhile, LATER)
    sweeper.join()
    assert {row.state for row in list_reports(ledger)} == {DeliveryState.PARKED}
    with ledger.reading() as session:
        assert session.scalars(select(RevisionRow.state)).all() == [RevisionState.PARKED]


def test_a_parked_commitment_is_driven_again_by_sending_again(ledger: Ledger) -> None:
    """`retry` has the same bytes sent and commitment asked for anew."""
    revision, uids = stored(ledger)
    asked(ledger)
    keep_request(ledger, "2.25.77", answer(REFUSED, 0x0122, "2.25.77")[0], LATER)
    assert state_of(ledger, revision.study_id) is StudyState.PARKED
    drive_again(ledger, revision.study_id, "administrator")
    (due,) = due_deliveries(ledger, LATER)
    assert [each.sop_instance_uid for each in documents_to_send(ledger, due)] == uids


def test_a_report_on_an_unknown_transaction_changes_nothing(ledger: Ledger) -> None:
    """Somebody else's, or one from before the ledger was restored."""
    _, uids = stored(ledger)
    assert not keep_report(ledger, "2.25.1234", answer(DELIVERED, 0, *uids), again, LATER)
    assert {row.state for row in list_reports(ledger)} == {DeliveryState.UNCOMMITTED}


def test_what_is_given_up_is_traced_and_holds_up_nothing(ledger: Ledger) -> None:
    """A destination that is no more leaves nothing parked once a person has said so; the audit trail names who and why."""
    revision = delivering(ledger, ("pacs", "removed"))
    for due in due_deliveries(ledger, LATER):
        uids = [each.sop_instance_uid for each in documents_to_send(ledger, due)]
        keep_results(ledger, due, answer(DELIVERED if due.destination == "pacs" else REFUSED, 0, *uids), never, LATER)
    assert state_of(ledger, revision.study_id) is StudyState.PARKED
    assert give_up(ledger, "removed", revision.study_id, "administrator", "taken out of service") == 2
    assert state_of(ledger, revision.study_id) is StudyState.DONE
    assert give_up(ledger, "removed", None, "administrator", "twice") == 0
    given_up = [row for row in list_reports(ledger) if row.destination == "removed"]
    assert {row.state for row in given_up} == {DeliveryState.GIVEN_UP}
    assert all("taken out of service" in row.comment for row in given_up)
    assert first_broken_link(ledger) is None


def test_a_skipped_document_is_no_failure(ledger: Ledger) -> None:
    """What the settings say to leave out is left out for good, and the study is done."""
    revision = delivering(ledger)
    (due,) = due_deliveries(ledger, LATER)
    uids = [each.sop_instance_uid for each in documents_to_send(ledger, due)]
    keep_results(ledger, due, [*answer(DeliveryOutcome.SKIPPED, None, uids[0]), *answer(DELIVERED, 0, uids[1])], never, LATER)
    assert state_of(ledger, revision.study_id) is StudyState.DONE


def test_a_rendition_takes_the_place_of_its_original_for_one_destination(ledger: Ledger) -> None:
    """Promise 4: made again after a crash it is the one that was kept; it has the original's kind, and the original can come back."""
    revision = delivering(ledger, ("pacs", "archive"))
    due = next(each for each in due_deliveries(ledger, LATER) if each.destination == "archive")
    original = documents_to_send(ledger, due)[0]
    rendition = Document(DocumentKind.SUMMARY, "1.2.840.10008.5.1.4.1.1.88.22", "2.25.555", "2.25.556", "AI", b"")
    kept = send_instead(ledger, due, original.sop_instance_uid, rendition, "documents/cd/1")
    assert send_instead(ledger, due, "2.25.555", rendition, "documents/cd/2") == kept
    assert [each.sop_instance_uid for each in documents_to_send(ledger, due)][-1] == "2.25.555"
    assert original_of(ledger, "2.25.555") == original
    other = next(each for each in due_deliveries(ledger, LATER) if each.destination == "pacs")
    assert original in documents_to_send(ledger, other)
    assert send_instead(ledger, due, "2.25.555", original, original.artifact_key) == original
    assert original in documents_to_send(ledger, due)
    assert predecessor_documents(ledger, revision) == ()


def test_only_what_somebody_can_have_is_a_predecessor(ledger: Ledger) -> None:
    """A rendition that the destination did not take, and that another has replaced, was delivered to nobody."""
    revision = delivering(ledger)
    (due,) = due_deliveries(ledger, LATER)
    original, other = documents_to_send(ledger, due)
    for sop_class_uid, uid in (("1.2.840.10008.5.1.4.1.1.88.34", "2.25.555"), ("1.2.840.10008.5.1.4.1.1.88.22", "2.25.666")):
        rendition = Document(DocumentKind.SUMMARY, sop_class_uid, uid, f"{uid}.1", "AI", b"")
        original = send_instead(ledger, due, original.sop_instance_uid, rendition, f"documents/cd/{uid}")
    keep_results(ledger, due, answer(DELIVERED, 0, "2.25.666", other.sop_instance_uid), never, LATER)
    record_object(ledger, *image(2), at_once)
    following = open_revision(ledger, revision.study_id, plan, LATER)
    assert following is not None
    assert {each.sop_instance_uid for each in predecessor_documents(ledger, following)} == {"2.25.666", other.sop_instance_uid}
