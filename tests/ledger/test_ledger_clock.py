"""A clock that was set back leaves moments that lie too far ahead. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta

from harness.ledger import NOW, answer, delivering, image

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.clock import bring_near
from dosremc_node.ledger.commitments import due_commitments, park_overdue
from dosremc_node.ledger.deliveries import documents_to_send, due_deliveries, keep_results
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.reconciliation import due, keep_failure
from dosremc_node.ledger.revisions import due_studies
from dosremc_node.records import DeliveryOutcome

QUIET, RETRY, COMMITMENT, STEP = timedelta(minutes=1), timedelta(minutes=15), timedelta(hours=24), timedelta(days=365)
RULES = (QUIET, {"pacs": RETRY})


def test_a_study_that_waits_for_another_clock_waits_for_its_quiet_time(ledger: Ledger) -> None:
    """Received while the clock was a year ahead, it is due after the quiet time and no sooner; looking again does not move it."""
    record_object(ledger, *image(1, at=NOW + STEP), lambda _headers, _first, last: last + QUIET)
    assert bring_near(ledger, NOW, *RULES) == 1
    assert bring_near(ledger, NOW + QUIET / 2, *RULES) == 0
    assert due_studies(ledger, NOW + QUIET * 0.99) == []
    assert len(due_studies(ledger, NOW + QUIET)) == 1


def test_a_document_that_waits_for_another_clock_waits_for_its_retry_time(ledger: Ledger) -> None:
    """Refused while the clock was a year ahead, it is sent after the longest time that its destination may ask for."""
    delivering(ledger)
    delivery = due_deliveries(ledger, NOW + 20 * STEP)[0]
    uids = [each.sop_instance_uid for each in documents_to_send(ledger, delivery)]
    keep_results(ledger, delivery, answer(DeliveryOutcome.RETRY, 0xA700, *uids), lambda _attempts: NOW + STEP, NOW + STEP)
    assert bring_near(ledger, NOW, *RULES) == len(uids)
    assert due_deliveries(ledger, NOW + RETRY * 0.99) == []
    assert len(due_deliveries(ledger, NOW + RETRY)) == 1


def test_a_pacs_that_was_asked_by_another_clock_is_asked_again(ledger: Ledger) -> None:
    """Asked while the clock was a year ahead, it is asked once its interval is over, and not in a year."""
    interval = timedelta(hours=24)
    due(ledger, "orthanc", NOW)
    keep_failure(ledger, "orthanc", "it is away", NOW + STEP)
    assert bring_near(ledger, NOW, *RULES, {"orthanc": interval}) == 1
    assert bring_near(ledger, NOW, *RULES, {"orthanc": interval}) == 0
    assert (due(ledger, "orthanc", NOW), due(ledger, "orthanc", NOW + interval)) == (None, NOW + interval)


def test_what_is_to_be_committed_by_another_clock_is_asked_for_and_parked_by_this_one(ledger: Ledger) -> None:
    """Stored while the clock was a year ahead: neither the next request nor the deadline waits for that year to pass."""
    delivering(ledger)
    delivery = due_deliveries(ledger, NOW + 20 * STEP)[0]
    uids = [each.sop_instance_uid for each in documents_to_send(ledger, delivery)]
    answers = answer(DeliveryOutcome.DELIVERED, 0, *uids)
    keep_results(ledger, delivery, answers, lambda _attempts: None, NOW + STEP, commit_by=NOW + STEP + COMMITMENT)
    assert bring_near(ledger, NOW, *RULES, commitment={"pacs": COMMITMENT}) == 2 * len(uids)
    assert bring_near(ledger, NOW, *RULES, commitment={"pacs": COMMITMENT}) == 0
    assert len(due_commitments(ledger, NOW + COMMITMENT)) == 1
    assert park_overdue(ledger, NOW + COMMITMENT * 0.99) == 0
    assert park_overdue(ledger, NOW + COMMITMENT) == len(uids)


def test_what_waits_by_its_rule_is_left_alone(ledger: Ledger) -> None:
    """Nothing is hurried while the clock does what clocks do."""

    def by_its_rule(_headers: object, _first: datetime, last: datetime) -> datetime:
        return last + QUIET

    record_object(ledger, *image(1), by_its_rule)
    assert bring_near(ledger, NOW, *RULES) == 0
    assert due_studies(ledger, NOW + QUIET * 0.99) == []
