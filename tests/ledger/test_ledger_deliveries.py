"""What is due where, and what each answer does. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from harness.ledger import NOW, answer, delivering, documents, held, never, opened, state_of

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.deliveries import documents_to_send, due_deliveries, keep_results
from dosremc_node.ledger.overview import list_reports, list_studies
from dosremc_node.ledger.receiving import (
    is_our_document,
)
from dosremc_node.ledger.revisions import (
    drive_again,
    keep_documents,
)
from dosremc_node.ledger.states import StudyState
from dosremc_node.records import (
    DeliveryOutcome,
)


def test_done_means_that_every_destination_has_every_document(ledger: Ledger) -> None:
    """Promise 2: one of two destinations, or one of two documents, is not done."""
    revision = delivering(ledger, ("pacs", "archive"))
    by_name = {due.destination: due for due in due_deliveries(ledger, NOW + timedelta(days=9999))}
    assert set(by_name) == {"pacs", "archive"}
    uids = [each.sop_instance_uid for each in documents_to_send(ledger, by_name["pacs"])]
    keep_results(ledger, by_name["pacs"], answer(DeliveryOutcome.DELIVERED, 0, *uids), never, NOW)
    keep_results(ledger, by_name["archive"], answer(DeliveryOutcome.DELIVERED, 0, uids[0]), never, NOW)
    assert state_of(ledger, revision.study_id) is StudyState.DELIVERING
    keep_results(ledger, by_name["archive"], answer(DeliveryOutcome.DELIVERED, 0, uids[1]), never, NOW)
    assert state_of(ledger, revision.study_id) is StudyState.DONE
    assert is_our_document(ledger, uids[0])


def test_without_destinations_a_rendered_revision_is_done(ledger: Ledger) -> None:
    """Nothing to deliver is nothing to wait for."""
    revision = delivering(ledger, ())
    assert state_of(ledger, revision.study_id) is StudyState.DONE


def test_a_destination_gets_only_the_kinds_that_it_takes(ledger: Ledger) -> None:
    """Which documents go where is the destination's setting."""
    revision = opened(ledger)
    keep_documents(ledger, held(ledger, revision), documents(revision), [("pacs", ["summary"])])
    (due,) = due_deliveries(ledger, NOW + timedelta(days=9999))
    assert [each.sop_instance_uid for each in documents_to_send(ledger, due)] == ["2.25.10"]


def test_what_failed_is_tried_again_when_the_rule_says_so(ledger: Ledger) -> None:
    """The next try is a row with its time; each try has a name of its own."""
    delivering(ledger)
    (due,) = due_deliveries(ledger, NOW + timedelta(days=9999))
    uids = [each.sop_instance_uid for each in documents_to_send(ledger, due)]
    again = NOW + timedelta(days=20000)
    keep_results(ledger, due, answer(DeliveryOutcome.RETRY, None, *uids), lambda _: again, NOW)
    assert due_deliveries(ledger, again - timedelta(seconds=1)) == []
    (second,) = due_deliveries(ledger, again)
    assert second.attempts > due.attempts


@pytest.mark.parametrize("outcome", [DeliveryOutcome.REFUSED, DeliveryOutcome.RETRY])
def test_what_is_refused_or_tried_often_enough_is_parked_with_its_status(ledger: Ledger, outcome: DeliveryOutcome) -> None:
    """Promise 3: parked with the status it got, visible in `status` and `reports`; one command re-drives the same documents."""
    revision = delivering(ledger)
    (due,) = due_deliveries(ledger, NOW + timedelta(days=9999))
    uids = [each.sop_instance_uid for each in documents_to_send(ledger, due)]
    keep_results(ledger, due, answer(outcome, 0xA900, *uids), never, NOW)
    assert state_of(ledger, revision.study_id) is StudyState.PARKED
    assert {report.status for report in list_reports(ledger)} == {0xA900}
    assert next(row.reason for row in list_studies(ledger)) == "pacs: in words"
    drive_again(ledger, revision.study_id, "administrator")
    (again,) = due_deliveries(ledger, NOW + timedelta(days=9999))
    assert (again.drive, again.attempts) == (1, 0)
    assert [each.sop_instance_uid for each in documents_to_send(ledger, again)] == uids


def test_a_second_answer_cannot_undo_a_delivery(ledger: Ledger) -> None:
    """A slow process that failed must not take back what another has delivered."""
    revision = delivering(ledger)
    (due,) = due_deliveries(ledger, NOW + timedelta(days=9999))
    uids = [each.sop_instance_uid for each in documents_to_send(ledger, due)]
    keep_results(ledger, due, answer(DeliveryOutcome.DELIVERED, 0, *uids), never, NOW)
    keep_results(ledger, due, answer(DeliveryOutcome.REFUSED, 0xA900, *uids), never, NOW)
    assert state_of(ledger, revision.study_id) is StudyState.DONE
