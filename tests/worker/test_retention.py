"""Retention takes images that nobody needs any more, and stocktaking makes files and rows agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from harness.ledger import ASSESSMENT

from dosremc_node import stocktaking, studies
from dosremc_node.artifacts import ArtifactKind, content_key
from dosremc_node.ledger import images, receiving, revisions
from dosremc_node.ledger.overview import StudyOverview, list_studies
from dosremc_node.ledger.states import Standing, StudyState
from dosremc_node.node import Node
from dosremc_node.records import Assessment, ImageScore, Laterality, NotAssessedReason, StudyRevision, View
from dosremc_node.retention import make_room, remove_old_images
from dosremc_node.simulation import SimulatedExam

Arrive = Callable[[Node, bytes], str]
OpenOne = Callable[..., Node]

A_YEAR_LATER = datetime.now(UTC) + timedelta(days=365)


def opened(node: Node) -> StudyRevision:
    """The next revision of the one study, as if it were due."""
    plan = partial(studies.make_plan, release=node.release_in_force().release, domains=node.domains, settings=node.settings.studies)
    later = datetime.max.replace(tzinfo=UTC)
    (study_id,) = revisions.due_studies(node.ledger, later)
    revision = revisions.open_revision(node.ledger, study_id, plan, later)
    assert revision is not None
    return revision


def finish(node: Node, assessment: Assessment = ASSESSMENT) -> StudyRevision:
    """The study assessed, with nothing to deliver."""
    revision = opened(node)
    hold = revisions.take_in_hand(node.ledger, revision.study_id, revision.number, 5)
    assert hold is not None
    revisions.keep_assessment(node.ledger, hold, assessment)
    revisions.keep_documents(node.ledger, hold, [], [])
    return revision


def shown(node: Node) -> StudyOverview:
    (study,) = list_studies(node.ledger)
    return study


def is_kept(node: Node, sha256: str) -> bool:
    return node.store.exists(content_key(ArtifactKind.IMAGE, sha256))


def scored(saliency_key: str) -> Assessment:
    """An assessment of one image that has a saliency map."""
    score = ImageScore("1.2", Laterality.LEFT, View.CC, 0.0, 0.5, positive=False, findings=(), saliency_key=saliency_key)
    return Assessment((score,), (), 0.25, positive=False, images_not_assessed=(), not_assessed=None)


def test_old_images_of_a_finished_study_go_with_all_that_was_made_of_them(open_one: OpenOne, arrive: Arrive, exam: SimulatedExam) -> None:
    """Image, network inputs and saliency maps go, the trail says so, and `status` does; younger ones stay."""
    node = open_one("storage.images_days=30")
    digest = arrive(node, exam.images[0].content)
    saliency = node.store.put(ArtifactKind.SALIENCY, b"a map")
    of_it = node.store.put_derived(ArtifactKind.INPUT, f"{digest}-{'a' * 64}", b"input")
    of_another = node.store.put_derived(ArtifactKind.INPUT, f"{'b' * 64}-{'a' * 64}", b"input")
    finish(node, scored(saliency))
    assert remove_old_images(node, datetime.now(UTC) + timedelta(days=29)) == 0
    assert is_kept(node, digest)
    assert remove_old_images(node, datetime.now(UTC) + timedelta(days=31)) == 1
    assert not any(node.store.exists(key) for key in (content_key(ArtifactKind.IMAGE, digest), saliency, of_it))
    assert node.store.exists(of_another)
    assert (shown(node).state, shown(node).images, shown(node).removed, shown(node).missing) == (StudyState.DONE, 1, 1, 0)
    assert remove_old_images(node, A_YEAR_LATER) == 0


def test_by_default_everything_is_kept(open_one: OpenOne, arrive: Arrive, exam: SimulatedExam) -> None:
    """Nobody loses an image who has not asked for it."""
    node = open_one()
    digest = arrive(node, exam.images[0].content)
    finish(node)
    assert (remove_old_images(node, A_YEAR_LATER), make_room(node, A_YEAR_LATER)) == (0, 0)
    assert is_kept(node, digest)


def waits(node: Node, _: Arrive, __: SimulatedExam) -> None:
    assert shown(node).state is StudyState.RECEIVING


def is_assessed(node: Node, _: Arrive, __: SimulatedExam) -> None:
    opened(node)


def is_parked(node: Node, _: Arrive, __: SimulatedExam) -> None:
    revision = opened(node)
    hold = revisions.take_in_hand(node.ledger, revision.study_id, revision.number, 5)
    assert hold is not None
    revisions.park_revision(node.ledger, hold, "a person must look")


def is_to_be_compared(node: Node, arrive: Arrive, exam: SimulatedExam) -> None:
    finish(node)
    arrive(node, exam.images[0].content + b"\xfc\xff\xfc\xff\x00\x00\x00\x00")


def is_quarantined(node: Node, arrive: Arrive, exam: SimulatedExam) -> None:
    is_to_be_compared(node, arrive, exam)
    (contender,) = receiving.contenders(node.ledger)
    receiving.settle_contender(node.ledger, contender, Standing.QUARANTINED)


def has_a_late_image(node: Node, arrive: Arrive, exam: SimulatedExam) -> None:
    finish(node)
    arrive(node, exam.images[1].content)


@pytest.mark.parametrize("make", [waits, is_assessed, is_parked, is_to_be_compared, is_quarantined, has_a_late_image])
def test_images_that_are_still_needed_stay(
    make: Callable[[Node, Arrive, SimulatedExam], None], open_one: OpenOne, arrive: Arrive, exam: SimulatedExam
) -> None:
    """Neither age nor want of space takes what waits, is assessed, is parked, is to be compared or looked at by a person."""
    node = open_one("storage.images_days=1", f"storage.images_free_megabytes={1 << 40}")
    digest = arrive(node, exam.images[0].content)
    make(node, arrive, exam)
    assert (remove_old_images(node, A_YEAR_LATER), make_room(node, A_YEAR_LATER)) == (0, 0)
    assert images.mark_removed(node.ledger, shown(node).study_id, A_YEAR_LATER, "a test") is None
    assert is_kept(node, digest)


def test_a_removed_image_that_comes_again_is_the_same_instance(open_one: OpenOne, arrive: Arrive, exam: SimulatedExam) -> None:
    """Its digest is in the ledger: no revision is opened, the image is there again, and its age counts anew."""
    node = open_one(f"storage.images_free_megabytes={1 << 40}")
    digest = arrive(node, exam.images[0].content)
    finish(node)
    assert make_room(node, A_YEAR_LATER) == 1
    assert not is_kept(node, digest)
    arrive(node, exam.images[0].content)
    assert is_kept(node, digest)
    assert (shown(node).state, shown(node).images, shown(node).removed, shown(node).revision) == (StudyState.DONE, 1, 0, 1)
    assert images.removable_studies(node.ledger, shown(node).last_received_at, 10) == []


def test_an_image_that_comes_again_while_it_is_removed_stays(open_one: OpenOne, arrive: Arrive, exam: SimulatedExam) -> None:
    """Between the row and the bytes of a removal the image came again: its bytes are not taken."""
    node = open_one()
    digest = arrive(node, exam.images[0].content)
    finish(node)
    assert images.mark_removed(node.ledger, shown(node).study_id, A_YEAR_LATER, "a test") is not None
    arrive(node, exam.images[0].content)
    with images.removed(node.ledger, [digest]) as digests:
        assert list(digests) == []


@pytest.fixture
def emptied(open_one: OpenOne, arrive: Arrive, exam: SimulatedExam) -> Node:
    """A node that has finished a study of the exam's first three images, and removed them."""
    node = open_one(f"storage.images_free_megabytes={1 << 40}")
    digests = [arrive(node, image.content) for image in exam.images[:3]]
    finish(node)
    make_room(node, A_YEAR_LATER)
    assert not any(is_kept(node, digest) for digest in digests)
    return node


def test_a_late_image_of_a_study_whose_images_were_removed_replaces_no_whole_report(
    emptied: Node, arrive: Arrive, exam: SimulatedExam
) -> None:
    """Its revision names every image that could not be read, and shows no score made of a part of the study."""
    late = arrive(emptied, exam.images[3].content)
    plan = opened(emptied).plan
    assert plan.not_assessed is NotAssessedReason.IMAGES_REMOVED
    assert [image.not_assessed for image in plan.images] == [NotAssessedReason.REMOVED] * 3 + [None]
    assert plan.images[3].sha256 == late


def test_a_whole_study_that_comes_again_with_a_late_image_is_assessed_as_a_whole(
    emptied: Node, arrive: Arrive, exam: SimulatedExam
) -> None:
    """What was removed and is there again counts as if it had never been removed."""
    for image in exam.images:
        arrive(emptied, image.content)
    plan = opened(emptied).plan
    assert plan.not_assessed is None
    assert [image.not_assessed for image in plan.images] == [None] * 4


def test_a_file_without_a_row_is_entered(open_one: OpenOne, exam: SimulatedExam) -> None:
    """A crash between file and row, or a restored ledger: the image is not lost."""
    node = open_one()
    node.store.put(ArtifactKind.IMAGE, exam.images[0].content)
    assert stocktaking.take_stock(node) == stocktaking.Stock(entered=1)
    assert (shown(node).state, shown(node).images) == (StudyState.RECEIVING, 1)
    assert stocktaking.take_stock(node) == stocktaking.Stock()


def test_a_file_without_a_row_that_nobody_can_read_is_removed(open_one: OpenOne) -> None:
    """Its sender was told that it makes no sense; it must not lie about for ever."""
    node = open_one()
    key = node.store.put(ArtifactKind.IMAGE, b"no DICOM")
    assert stocktaking.take_stock(node) == stocktaking.Stock(removed=1)
    assert not node.store.exists(key)


def test_what_a_crash_left_of_a_removal_goes(open_one: OpenOne, arrive: Arrive, exam: SimulatedExam) -> None:
    """The row says removed, the file is still there: the next start removes it, and enters nothing."""
    node = open_one()
    digest = arrive(node, exam.images[0].content)
    finish(node)
    images.mark_removed(node.ledger, shown(node).study_id, A_YEAR_LATER, "a test")
    assert is_kept(node, digest)
    assert stocktaking.take_stock(node) == stocktaking.Stock(removed=1)
    assert not is_kept(node, digest)
    assert shown(node).state is StudyState.DONE


def test_a_row_without_a_file_is_seen_until_the_image_is_sent_again(open_one: OpenOne, arrive: Arrive, exam: SimulatedExam) -> None:
    """Somebody deleted it: `status` shows the study, nothing is removed on top of it, and a second sending mends it."""
    node = open_one("storage.images_days=1")
    digest = arrive(node, exam.images[0].content)
    finish(node)
    node.store.remove(content_key(ArtifactKind.IMAGE, digest))
    assert stocktaking.take_stock(node) == stocktaking.Stock(missing=1)
    assert shown(node).missing == 1
    assert images.image_counts(node.ledger) == images.ImageCounts(kept=0, removed=0, missing=1)
    assert remove_old_images(node, A_YEAR_LATER) == 0
    arrive(node, exam.images[0].content)
    assert shown(node).missing == 0
    assert is_kept(node, digest)
    assert stocktaking.take_stock(node) == stocktaking.Stock()


def test_a_file_that_was_put_back_by_hand_is_found(open_one: OpenOne, arrive: Arrive, exam: SimulatedExam) -> None:
    """Restored from a backup it is there again, without being sent."""
    node = open_one()
    digest = arrive(node, exam.images[0].content)
    node.store.remove(content_key(ArtifactKind.IMAGE, digest))
    stocktaking.take_stock(node)
    node.store.put(ArtifactKind.IMAGE, exam.images[0].content)
    stocktaking.take_stock(node)
    assert shown(node).missing == 0
