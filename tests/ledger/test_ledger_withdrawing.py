"""Rejection notes: what is withdrawn, what is only kept in mind, and what comes back (promise 5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from harness.ledger import NOW, at_once, held, image, opened, plan
from sqlalchemy import select

from dosremc_node.ledger import Ledger, audit
from dosremc_node.ledger.conflict_decisions import list_conflicts
from dosremc_node.ledger.conflicts import ConflictKind
from dosremc_node.ledger.overview import find_study, instance_counts, list_studies
from dosremc_node.ledger.receiving import Receipt, contender_and_primary, contenders, record_object, settle_contender
from dosremc_node.ledger.revisions import due_studies, open_revision, park_revision
from dosremc_node.ledger.states import Standing
from dosremc_node.ledger.tables import AuditRow
from dosremc_node.ledger.withdrawing import Withdrawal, record_note
from dosremc_node.records import NotAssessedReason, ReceivedObject, RejectionNote, RejectionReason, StudyRevision

LASTING = [reason for reason in RejectionReason if reason.lasts]


def reject(
    ledger: Ledger, *images: str, reason: RejectionReason = RejectionReason.QUALITY, study: str = "1.2.3", note: str = "9.1"
) -> Withdrawal:
    received = ReceivedObject(
        "f" * 64, 100, "1.2.840.10008.5.1.4.1.1.88.59", note, "1.2.840.10008.1.2.1", "PACS", "127.0.0.1", NOW + timedelta(hours=1)
    )
    return record_note(ledger, RejectionNote(note, reason, tuple((study, uid) for uid in images)), received, at_once)


def finish(ledger: Ledger, revision: StudyRevision) -> None:
    park_revision(ledger, held(ledger, revision), "only to end it")


def next_revision(ledger: Ledger) -> StudyRevision | None:
    study_id = find_study(ledger, "1.2.3")
    assert study_id is not None
    return open_revision(ledger, study_id, plan, NOW + timedelta(days=1))


def reasons(revision: StudyRevision | None) -> dict[str, NotAssessedReason | None]:
    """What the plan rule was told of each image."""
    assert revision is not None
    return {each.header.sop_instance_uid: each.header.not_assessed for each in revision.plan.images}


def trail(ledger: Ledger) -> list[tuple[str, str, str]]:
    with ledger.reading() as session:
        return [(row.actor, row.action, row.subject) for row in session.scalars(select(AuditRow).order_by(AuditRow.sequence))]


@pytest.mark.parametrize("reason", list(RejectionReason))
def test_a_rejected_image_opens_a_revision_that_knows_why(ledger: Ledger, reason: RejectionReason) -> None:
    """Of two images one is withdrawn, kept, counted and traced; the study is due, and its plan gets the reason."""
    record_object(ledger, *image(2), at_once)
    first = opened(ledger)
    finish(ledger, first)
    assert reject(ledger, "1.2.3.1", reason=reason) == Withdrawal(1, 0)
    assert instance_counts(ledger)[Standing.WITHDRAWN] == 1
    assert list_studies(ledger)[0].withdrawn == 1
    assert due_studies(ledger, NOW + timedelta(hours=1)) == [first.study_id]
    assert reasons(next_revision(ledger)) == {"1.2.3.1": reason.withdrawn, "1.2.3.2": None}
    assert ("PACS", "rejection note", first.study_id) in trail(ledger)
    assert audit.first_broken_link(ledger) is None


def test_the_same_note_twice_is_one(ledger: Ledger) -> None:
    """It came by two routes, or again: nothing is due anew."""
    finish(ledger, opened(ledger))
    reject(ledger, "1.2.3.1")
    second = next_revision(ledger)
    assert second is not None
    finish(ledger, second)
    assert reject(ledger, "1.2.3.1") == Withdrawal(0, 0)
    assert reject(ledger, "1.2.3.1", note="9.2") == Withdrawal(0, 1)
    assert next_revision(ledger) is None


@pytest.mark.parametrize("reason", LASTING)
def test_an_image_that_comes_after_its_note_is_withdrawn(ledger: Ledger, reason: RejectionReason) -> None:
    """It is kept, the study says so in a revision, and a second such image adds none."""
    assert reject(ledger, "1.2.3.1", "1.2.3.2", reason=reason) == Withdrawal(0, 2)
    assert trail(ledger) == [("PACS", "rejection note", f"note {'f' * 12}")]
    assert record_object(ledger, *image(1), at_once) is Receipt.WITHDRAWN
    revision = next_revision(ledger)
    assert reasons(revision) == {"1.2.3.1": reason.withdrawn}
    assert record_object(ledger, *image(2), at_once) is Receipt.WITHDRAWN
    assert list_studies(ledger)[0].due_at is None


def test_an_expired_retention_period_keeps_no_later_image_out(ledger: Ledger) -> None:
    """The archive did not want to keep it; nothing is wrong with it."""
    reject(ledger, "1.2.3.1", reason=RejectionReason.RETENTION_EXPIRED)
    assert record_object(ledger, *image(1), at_once) is Receipt.NEW


@pytest.mark.parametrize("reason", LASTING)
def test_a_rejected_image_that_is_sent_again_stays_rejected(ledger: Ledger, reason: RejectionReason) -> None:
    """With the same bytes, and recompressed: it answers as a duplicate and a contender, and nothing is due."""
    finish(ledger, opened(ledger))
    reject(ledger, "1.2.3.1", reason=reason)
    finish(ledger, next_revision(ledger) or pytest.fail("no revision"))
    assert record_object(ledger, *image(1), at_once) is Receipt.DUPLICATE
    assert record_object(ledger, *image(1, sha256="e" * 64), at_once) is Receipt.CONTENDER
    (contender,) = contenders(ledger)
    assert contender_and_primary(ledger, contender) == ("e" * 64, f"{1:064x}")
    settle_contender(ledger, contender, Standing.VARIANT)
    assert next_revision(ledger) is None


def test_an_image_that_comes_back_to_another_womans_makes_it_two(ledger: Ledger) -> None:
    """While it was withdrawn hers was the only one: taken back, it must not be scored with hers."""
    finish(ledger, opened(ledger))
    reject(ledger, "1.2.3.1", reason=RejectionReason.RETENTION_EXPIRED)
    finish(ledger, next_revision(ledger) or pytest.fail("no revision"))
    received, header = image(2)
    record_object(ledger, received, replace(header, who=replace(header.who, patient_id="P2")), at_once)
    assert list_conflicts(ledger) == []
    assert record_object(ledger, *image(1), at_once) is Receipt.TAKEN_BACK
    (conflict,) = list_conflicts(ledger)
    assert conflict.kind is ConflictKind.TWO_PATIENTS
    assert next_revision(ledger) is None


@pytest.mark.parametrize("again", [None, "e" * 64])
def test_an_image_comes_back_after_its_retention_expired(ledger: Ledger, again: str | None) -> None:
    """Sent again, it is primary and its study due; the note that is sent again changes nothing, a new one does."""
    finish(ledger, opened(ledger))
    reject(ledger, "1.2.3.1", reason=RejectionReason.RETENTION_EXPIRED)
    finish(ledger, next_revision(ledger) or pytest.fail("no revision"))
    assert record_object(ledger, *image(1, sha256=again), at_once) is (Receipt.CONTENDER if again else Receipt.TAKEN_BACK)
    revision = next_revision(ledger)
    assert reasons(revision) == {"1.2.3.1": None}
    assert "image taken back" in {action for _, action, _ in trail(ledger)}
    finish(ledger, revision or pytest.fail("no revision"))
    assert reject(ledger, "1.2.3.1", reason=RejectionReason.RETENTION_EXPIRED) == Withdrawal(0, 0)
    assert reject(ledger, "1.2.3.1", reason=RejectionReason.RETENTION_EXPIRED, note="9.2") == Withdrawal(1, 0)


def test_a_lasting_reason_outdoes_a_later_expiry(ledger: Ledger) -> None:
    """What was rejected for safety does not come back because its retention period ended."""
    finish(ledger, opened(ledger))
    reject(ledger, "1.2.3.1", reason=RejectionReason.PATIENT_SAFETY)
    reject(ledger, "1.2.3.1", reason=RejectionReason.RETENTION_EXPIRED, note="9.2")
    assert record_object(ledger, *image(1), at_once) is Receipt.DUPLICATE
    assert reasons(next_revision(ledger)) == {"1.2.3.1": NotAssessedReason.WITHDRAWN_FOR_SAFETY}


def test_a_note_touches_only_the_study_that_it_names(ledger: Ledger) -> None:
    """An image that lies in another study than the note says stays: the note is wrong, or about somebody else."""
    finish(ledger, opened(ledger))
    assert reject(ledger, "1.2.3.1", study="5.6.7") == Withdrawal(0, 1)
    assert instance_counts(ledger)[Standing.PRIMARY] == 1
    assert next_revision(ledger) is None


def test_a_note_about_two_studies_withdraws_in_both(ledger: Ledger) -> None:
    """Each of them is due."""
    first, second = opened(ledger), opened(ledger, "4.5.6")
    finish(ledger, first)
    finish(ledger, second)
    received = replace(image(1)[0], received_at=NOW)
    note = RejectionNote("9.1", RejectionReason.QUALITY, (("1.2.3", "1.2.3.1"), ("4.5.6", "4.5.6.1"), ("4.5.6", "4.5.6.7")))
    assert record_note(ledger, note, received, at_once) == Withdrawal(2, 1)
    assert {*due_studies(ledger, NOW)} == {first.study_id, second.study_id}


def test_a_note_waits_for_a_retake_as_an_image_would(ledger: Ledger) -> None:
    """The due rule sees what is left of the study."""
    record_object(ledger, *image(2), at_once)
    finish(ledger, opened(ledger))
    seen: list[list[str]] = []

    def later(headers: list[object], _first: datetime, last: datetime) -> datetime:
        seen.append([header.sop_instance_uid for header in headers])  # type: ignore[attr-defined]
        return last + timedelta(minutes=1)

    received = replace(image(1)[0], received_at=NOW)
    record_note(ledger, RejectionNote("9.1", RejectionReason.QUALITY, (("1.2.3", "1.2.3.1"),)), received, later)  # type: ignore[arg-type]
    assert seen == [["1.2.3.2"]]
    assert list_studies(ledger)[0].due_at == NOW + timedelta(minutes=1)
