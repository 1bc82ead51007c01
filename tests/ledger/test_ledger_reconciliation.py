"""What a PACS has and the node lacks. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from harness.ledger import NOW, at_once, delivering, image

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.reconciliation import (
    MissingStudy,
    asked,
    begin_fetch,
    due,
    end_fetch,
    images_here,
    keep_failure,
    keep_inventory,
    list_missing,
    missing_counts,
    our_series,
)

DAY = date(2026, 3, 1)
LATER = NOW + timedelta(hours=24)


def lacks(ledger: Ledger, *studies: MissingStudy) -> None:
    """The PACS was asked, and this is what the node lacks of it."""
    due(ledger, "pacs", NOW)
    keep_inventory(ledger, "pacs", studies, studies=9, window=(DAY, DAY), now=NOW, due_at=LATER)


def missing(uid: str = "1.2.3", there: int | None = 2, here: int = 0) -> MissingStudy:
    return MissingStudy("pacs", uid, DAY, there, here)


def test_a_pacs_is_due_at_once_and_then_by_the_clock(ledger: Ledger) -> None:
    """The first time is now, whoever looks first; after that it is what its row says."""
    assert due(ledger, "pacs", NOW) == NOW
    lacks(ledger)
    assert (due(ledger, "pacs", NOW), due(ledger, "pacs", LATER)) == (None, LATER)
    keep_failure(ledger, "pacs", "it is away", LATER + timedelta(minutes=15))
    (last,) = asked(ledger)
    assert (last.asked_at, last.studies, last.failure, last.due_at) == (NOW, 9, "it is away", LATER + timedelta(minutes=15))


def test_what_arrives_is_missing_no_more(ledger: Ledger) -> None:
    """A study is missing until as many of its images came as the PACS has, without anybody asking again."""
    lacks(ledger, missing(there=2))
    record_object(ledger, *image(1), at_once)
    assert (missing_counts(ledger), [each.study_instance_uid for each in list_missing(ledger)]) == ({"pacs": 1}, ["1.2.3"])
    record_object(ledger, *image(1, sha256="f" * 64), at_once)
    assert missing_counts(ledger) == {"pacs": 1}
    record_object(ledger, *image(2), at_once)
    assert (missing_counts(ledger), list_missing(ledger)) == ({"pacs": 0}, [])


def test_what_the_pacs_no_longer_has_is_settled(ledger: Ledger) -> None:
    """It was deleted there: nobody can fetch it. What lies outside the days that were asked for stays as it was."""
    lacks(ledger, missing("1.2.3"), missing("1.2.4"))
    keep_inventory(ledger, "pacs", [missing("1.2.4")], studies=1, window=(DAY, DAY), now=NOW, due_at=LATER)
    assert [each.study_instance_uid for each in list_missing(ledger)] == ["1.2.4"]
    elsewhen = DAY + timedelta(days=30)
    keep_inventory(ledger, "pacs", [], studies=0, window=(elsewhen, elsewhen), now=NOW, due_at=LATER)
    assert [each.study_instance_uid for each in list_missing(ledger)] == ["1.2.4"]


def test_each_study_is_fetched_once_a_time_and_not_for_ever(ledger: Ledger) -> None:
    """Two studies, two tries each: none is tried twice in one go, and none a third time, unless there is more of it."""
    lacks(ledger, missing("1.2.3"), missing("1.2.4"))
    for _ in range(2):
        lacks(ledger, missing("1.2.3"), missing("1.2.4"))
        since = datetime.now(UTC)
        tried = [begin_fetch(ledger, "pacs", 2, since) for _ in range(3)]
        assert {each and each.study_instance_uid for each in tried} == {"1.2.3", "1.2.4", None}
    assert begin_fetch(ledger, "pacs", 2, LATER) is None
    end_fetch(ledger, missing("1.2.3"), "1 object could not be sent")
    assert {(each.fetches, each.failure) for each in list_missing(ledger)} == {(2, "1 object could not be sent"), (2, "")}
    lacks(ledger, missing("1.2.3", there=4), missing("1.2.4"))
    again = begin_fetch(ledger, "pacs", 2, datetime.now(UTC))
    assert again is not None
    assert again.study_instance_uid == "1.2.3"


def test_our_own_documents_are_not_taken_for_images(ledger: Ledger) -> None:
    """The series of what we delivered are known, and images are counted by their UIDs."""
    revision = delivering(ledger)
    assert our_series(ledger, revision.who.study_instance_uid) == {"2.25.90", "2.25.91"}
    assert images_here(ledger, ["1.2.3", "1.2.99"]) == {"1.2.3": 1}
    assert images_here(ledger, [f"9.{number}" for number in range(2000)]) == {}
