"""How revisions are opened, taken in hand, and driven again. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from harness.ledger import ASSESSMENT, NOW, at_once, documents, held, image, opened, plan, state_of

from dosremc_node.errors import NoSuchStudy, StaleWriter
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.deliveries import due_deliveries
from dosremc_node.ledger.overview import list_studies
from dosremc_node.ledger.receiving import (
    record_object,
)
from dosremc_node.ledger.revisions import (
    drive_again,
    due_studies,
    get_assessment,
    get_revision,
    keep_assessment,
    keep_documents,
    open_revision,
    park_revision,
    predecessor_documents,
    revisions_to_assess,
    take_in_hand,
)
from dosremc_node.ledger.states import StudyState
from dosremc_node.records import (
    DocumentKind,
    StudyId,
)


def test_a_revision_gives_back_what_was_pinned(ledger: Ledger) -> None:
    """Release, bank, operating point and images are those of the moment when it was opened."""
    revision = opened(ledger)
    assert get_revision(ledger, revision.study_id, 1) == revision
    assert revision.plan.bank is not None
    assert [each.sha256 for each in revision.to_score] == [f"{1:064x}"]
    assert revisions_to_assess(ledger) == [(revision.study_id, 1, 0)]


def test_two_sweepers_open_one_revision(ledger: Ledger) -> None:
    """The second finds the study no longer due."""
    record_object(ledger, *image(1), at_once)
    (study_id,) = due_studies(ledger, NOW)
    assert open_revision(ledger, study_id, plan, NOW) is not None
    assert open_revision(ledger, study_id, plan, NOW) is None


def test_a_late_image_makes_a_revision_that_names_its_predecessor(ledger: Ledger) -> None:
    """Promise 5; and it waits until the revision before it is no longer being assessed."""
    first = opened(ledger)
    record_object(ledger, *image(2), at_once)
    assert due_studies(ledger, NOW) == []
    keep_documents(ledger, held(ledger, first), documents(first), [("pacs", tuple(DocumentKind))])
    (study_id,) = due_studies(ledger, NOW)
    second = open_revision(ledger, study_id, plan, NOW)
    assert second is not None
    assert (second.number, second.predecessor, len(second.plan.images)) == (2, 1, 2)
    assert [each.sop_instance_uid for each in predecessor_documents(ledger, second)] == ["2.25.10", "2.25.11"]


def test_whoever_lost_a_revision_cannot_write_it(ledger: Ledger) -> None:
    """A process that was only slow finds its writes rejected once another has taken over (promise 4)."""
    revision = opened(ledger)
    slow = held(ledger, revision)
    quick = held(ledger, revision)
    for write in (
        lambda: keep_assessment(ledger, slow, ASSESSMENT),
        lambda: keep_documents(ledger, slow, documents(revision), []),
        lambda: park_revision(ledger, slow, "slow"),
    ):
        with pytest.raises(StaleWriter):
            write()
    keep_assessment(ledger, quick, ASSESSMENT)
    assert get_assessment(ledger, revision.study_id, 1) == ASSESSMENT


def test_a_revision_that_brings_the_worker_down_again_and_again_is_parked(ledger: Ledger) -> None:
    """Never stuck (promise 3): after the set number of tries it is parked, visible, and one command drives it again."""
    revision = opened(ledger)
    for _ in range(2):
        assert take_in_hand(ledger, revision.study_id, 1, 2) is not None
    assert take_in_hand(ledger, revision.study_id, 1, 2) is None
    (row,) = list_studies(ledger, [StudyState.PARKED])
    assert "2 tries" in row.reason
    assert drive_again(ledger, revision.study_id, "physicist") == 1
    assert revisions_to_assess(ledger) == [(revision.study_id, 1, 1)]
    assert take_in_hand(ledger, revision.study_id, 1, 2) is not None


def test_a_new_image_is_assessed_although_the_revision_before_is_parked(ledger: Ledger) -> None:
    """A parked revision without documents has nothing to supersede."""
    first = opened(ledger)
    park_revision(ledger, held(ledger, first), "broken")
    record_object(ledger, *image(2), at_once)
    second = open_revision(ledger, first.study_id, plan, NOW)
    assert second is not None
    assert (second.number, second.predecessor) == (2, None)


def test_a_revision_that_a_later_one_has_replaced_is_not_assessed_any_more(ledger: Ledger) -> None:
    """Its report would reach the PACS last and know fewer images than the one before it."""
    first = opened(ledger)
    park_revision(ledger, held(ledger, first), "broken")
    record_object(ledger, *image(2), at_once)
    second = open_revision(ledger, first.study_id, plan, NOW)
    assert second is not None
    park_revision(ledger, held(ledger, second), "broken too")
    assert drive_again(ledger, first.study_id, "administrator") == 1
    assert revisions_to_assess(ledger) == [(first.study_id, 2, 1)]


def test_what_goes_wrong_after_the_documents_are_kept_does_not_hold_them_back(ledger: Ledger) -> None:
    """A failure between the last row and the end of the assessment parks nothing: everything that was wanted is there."""
    revision = opened(ledger)
    hold = held(ledger, revision)
    keep_documents(ledger, hold, documents(revision), [("pacs", tuple(DocumentKind))])
    park_revision(ledger, hold, "the engine was away")
    assert state_of(ledger, revision.study_id) is StudyState.DELIVERING
    assert len(due_deliveries(ledger, NOW + timedelta(days=9999))) == 1


def test_an_unknown_study_is_an_error_that_names_it(ledger: Ledger) -> None:
    """A mistyped name must not be answered with silence."""
    with pytest.raises(NoSuchStudy, match="S-NOWHERE"):
        drive_again(ledger, StudyId("S-NOWHERE"), "nobody")
