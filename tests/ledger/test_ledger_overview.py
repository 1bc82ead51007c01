"""What `status` and `reports` show, and what was measured. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from harness.ledger import NOW, SCANNER, answer, at_once, delivering, documents, held, image, never, opened, plan, state_of
from sqlalchemy import event

from dosremc_node.errors import StaleWriter
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.deliveries import documents_to_send, due_deliveries, keep_results
from dosremc_node.ledger.moments import keep_moments, moments_under
from dosremc_node.ledger.overview import find_study, list_reports, list_studies, study_counts
from dosremc_node.ledger.receiving import (
    contenders,
    record_object,
    settle_contender,
)
from dosremc_node.ledger.revisions import (
    drive_again,
    keep_documents,
    open_revision,
    park_revision,
)
from dosremc_node.ledger.states import DeliveryState, Standing, StudyState
from dosremc_node.records import (
    BankId,
    BatchNormMoments,
    DeliveryOutcome,
    Domain,
    LayerMoments,
    StudyRevision,
)


def test_studies_are_counted_in_the_state_that_status_shows(ledger: Ledger) -> None:
    """A study with a due row is receiving, whatever its latest revision is."""
    delivering(ledger)
    record_object(ledger, *image(1, "7.7"), at_once)
    counts = study_counts(ledger)
    assert (counts[StudyState.RECEIVING], counts[StudyState.DELIVERING], sum(counts.values())) == (1, 1, 2)


def test_moments_are_kept_once_and_found_by_their_bank(ledger: Ledger) -> None:
    """A repeated measurement adds nothing, a stale process writes nothing, and another domain's bank is given nothing of it."""
    revision = opened(ledger)
    stale, hold = held(ledger, revision), held(ledger, revision)
    moments = BatchNormMoments({"norm": LayerMoments(4, (0.1, -2.5), (1.0, 1e-9))})
    keep_moments(ledger, hold, "a" * 64, moments)
    keep_moments(ledger, hold, "a" * 64, BatchNormMoments({}))
    with pytest.raises(StaleWriter):
        keep_moments(ledger, stale, "c" * 64, moments)

    assert moments_under(ledger, BankId(Domain("maker"), "b" * 64)) == [(str(SCANNER), moments)]
    assert moments_under(ledger, BankId(Domain("other"), "b" * 64)) == []


def refuse(ledger: Ledger, destination: str) -> None:
    """A destination refuses all that it is to get now."""
    (due,) = [each for each in due_deliveries(ledger, datetime.now(UTC)) if each.destination == destination]
    uids = [each.sop_instance_uid for each in documents_to_send(ledger, due)]
    keep_results(ledger, due, answer(DeliveryOutcome.REFUSED, 0xA900, *uids), never, NOW)


def replaced_by_one_that_is_done(ledger: Ledger, revision: StudyRevision) -> None:
    """A late image's revision, which has nothing to deliver."""
    record_object(ledger, *image(2), at_once)
    late = open_revision(ledger, revision.study_id, plan, NOW)
    assert late is not None
    keep_documents(ledger, held(ledger, late), documents(late)[:0], [])


def test_an_older_revision_with_a_parked_delivery_keeps_its_study_parked(ledger: Ledger) -> None:
    """Promise 2: a study is not done while any revision's report is not delivered; and `retry all` finds it."""
    first = delivering(ledger)
    refuse(ledger, "pacs")
    replaced_by_one_that_is_done(ledger, first)
    (row,) = list_studies(ledger, [StudyState.PARKED])
    assert (row.revision, row.reason) == (2, "revision 1, pacs: in words")
    assert study_counts(ledger)[StudyState.PARKED] == 1
    assert drive_again(ledger, first.study_id, "administrator") == 1
    (row,) = list_studies(ledger)
    assert (row.state, row.reason) == (StudyState.DELIVERING, "")
    assert [(due.number, due.drive) for due in due_deliveries(ledger, datetime.now(UTC))] == [(1, 1)]


def test_a_parked_delivery_shows_although_a_late_image_waits(ledger: Ledger) -> None:
    """A next revision does not bring the report that a destination refused."""
    delivering(ledger)
    refuse(ledger, "pacs")
    record_object(ledger, *image(2), at_once)
    (row,) = list_studies(ledger)
    assert (row.state, row.reason) == (StudyState.PARKED, "pacs: in words")


def test_a_refused_delivery_is_parked_and_driven_again_while_another_destination_is_away(ledger: Ledger) -> None:
    """What one destination refused must not wait, unseen, for another to come back; what waits there goes on waiting."""
    revision = delivering(ledger, ("archive", "pacs"))
    (archive,) = [each for each in due_deliveries(ledger, datetime.now(UTC)) if each.destination == "archive"]
    uids = [each.sop_instance_uid for each in documents_to_send(ledger, archive)]
    away = datetime.now(UTC) + timedelta(days=1)
    keep_results(ledger, archive, answer(DeliveryOutcome.RETRY, None, *uids), lambda _: away, NOW)
    refuse(ledger, "pacs")
    (row,) = list_studies(ledger, [StudyState.PARKED])
    assert row.reason == "pacs: in words"
    assert drive_again(ledger, revision.study_id, "administrator") == 1
    assert [(due.destination, due.attempts) for due in due_deliveries(ledger, datetime.now(UTC))] == [("pacs", 0)]
    assert [due.attempts for due in due_deliveries(ledger, away) if due.destination == "archive"] == [len(uids)]
    assert state_of(ledger, revision.study_id) is StudyState.DELIVERING
    assert drive_again(ledger, revision.study_id, "administrator") == 0


def test_a_replaced_revision_without_documents_parks_nothing(ledger: Ledger) -> None:
    """A later revision knows all of its images."""
    first = opened(ledger)
    park_revision(ledger, held(ledger, first), "broken")
    replaced_by_one_that_is_done(ledger, first)
    (row,) = list_studies(ledger)
    assert (row.state, row.reason) == (StudyState.DONE, "")


def test_a_study_is_delivering_while_any_revision_is(ledger: Ledger) -> None:
    """Promise 2: the latest revision is done, and the one before still has to be delivered."""
    replaced_by_one_that_is_done(ledger, delivering(ledger))
    assert [row.state for row in list_studies(ledger)] == [StudyState.DELIVERING]


@pytest.mark.parametrize("found", [None, Standing.VARIANT, Standing.QUARANTINED])
def test_a_study_whose_images_all_came_first_in_another_is_parked_and_names_it(ledger: Ledger, found: Standing | None) -> None:
    """It will never have a revision, so it must not seem to wait for one."""
    record_object(ledger, *image(1), at_once)
    received, header = image(1, sha256="c" * 64)
    copied = replace(header, who=replace(header.who, study_instance_uid="7.7"))
    record_object(ledger, received, copied, at_once)
    if found:
        settle_contender(ledger, contenders(ledger)[0], found)
    first, second = find_study(ledger, "1.2.3"), find_study(ledger, "7.7")
    (row,) = list_studies(ledger, [StudyState.PARKED])
    assert (row.study_id, row.reason) == (second, f"every image of it came first in another study ({first})")
    assert {state: count for state, count in study_counts(ledger).items() if count} == {StudyState.RECEIVING: 1, StudyState.PARKED: 1}


def test_a_document_that_no_destination_takes_is_listed(ledger: Ledger) -> None:
    """Every document ever rendered: one that went nowhere has an empty destination and no state."""
    revision = opened(ledger)
    keep_documents(ledger, held(ledger, revision), documents(revision), [("pacs", ["summary"])])
    assert [(report.kind, report.destination, report.state) for report in list_reports(ledger)] == [
        ("summary", "pacs", DeliveryState.DUE),
        ("region", "", None),
    ]


def test_looking_at_studies_loads_no_plan_and_no_assessment(ledger: Ledger) -> None:
    """A scrape every few seconds over years of studies must not read the long columns, and counting reads no rows."""
    delivering(ledger)
    statements: list[str] = []
    event.listen(ledger.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    list_studies(ledger)
    study_counts(ledger)
    said = [each for each in statements if "FROM study" in each]
    assert len(said) == 2
    assert not [each for each in said for column in ("plan", "assessment", "header") if f".{column}" in each]
    assert "GROUP BY" in said[1].rsplit(")", 1)[1]
