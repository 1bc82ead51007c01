"""What the ledger does when an object arrives. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from harness.ledger import NOW, at_once, held, image, opened, plan

from dosremc_node.errors import IllegalTransition
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.overview import list_studies
from dosremc_node.ledger.receiving import (
    Receipt,
    contender_and_primary,
    contenders,
    next_arrival,
    record_object,
    settle_contender,
)
from dosremc_node.ledger.revisions import (
    due_studies,
    get_revision,
    open_revision,
    park_revision,
)
from dosremc_node.ledger.states import Standing
from dosremc_node.records import (
    ScannerKey,
)


def test_what_arrives_at_an_open_study_can_be_walked_through(ledger: Ledger) -> None:
    """Primary images of studies that wait for an assessment, in the order of arrival; a contender and a study that waits for none are passed over."""
    elsewhere = opened(ledger, "1.1")
    assert next_arrival(ledger, 0) is not None
    park_revision(ledger, held(ledger, elsewhere), "it is out of the way")
    for number in (1, 2):
        record_object(ledger, *image(number), at_once)
    record_object(ledger, *image(2, sha256="f" * 64), at_once)
    walked, after = [], 0
    while arrival := next_arrival(ledger, after):
        after, sha256, header = arrival
        walked.append((sha256, header))
    assert walked == [(image(number)[0].sha256, image(number)[1]) for number in (1, 2)]


def test_the_same_instance_twice_is_one_instance(ledger: Ledger) -> None:
    """Once (promise 4): a duplicate neither adds a row nor moves a deadline."""
    assert record_object(ledger, *image(1), at_once) is Receipt.NEW
    revision = open_revision(ledger, due_studies(ledger, NOW)[0], plan, NOW)
    assert revision is not None
    assert record_object(ledger, *image(1, at=NOW + timedelta(hours=1)), at_once) is Receipt.DUPLICATE
    assert due_studies(ledger, NOW + timedelta(days=1)) == []
    assert [row.images for row in list_studies(ledger)] == [1]


def test_images_of_one_study_that_arrive_at_the_same_moment_are_all_entered(ledger: Ledger) -> None:
    """Eight associations with an image each, of a study that nobody knows yet: one study row, eight instances."""
    barrier, failures = threading.Barrier(8), []

    def arrive(number: int) -> None:
        try:
            barrier.wait()
            record_object(ledger, *image(number), at_once)
        except BaseException as error:  # noqa: BLE001 - told to the test's thread
            failures.append(error)

    threads = [threading.Thread(target=arrive, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [row.images for row in list_studies(ledger)] == [8]


@pytest.mark.parametrize(("found", "variants", "quarantined"), [(Standing.VARIANT, 1, 0), (Standing.QUARANTINED, 0, 1)])
def test_other_bytes_under_a_known_uid_wait_to_be_compared_and_are_never_merged(
    ledger: Ledger, found: Standing, variants: int, quarantined: int
) -> None:
    """A contender is kept beside the primary, becomes a variant or is quarantined, and is never assessed."""
    record_object(ledger, *image(1), at_once)
    assert record_object(ledger, *image(1, sha256="c" * 64), at_once) is Receipt.CONTENDER
    (contender,) = contenders(ledger)
    assert contender_and_primary(ledger, contender) == ("c" * 64, f"{1:064x}")
    settle_contender(ledger, contender, found)
    assert contenders(ledger) == []
    assert contender_and_primary(ledger, contender) is None
    (row,) = list_studies(ledger)
    assert (row.images, row.variants, row.quarantined) == (1, variants, quarantined)
    with pytest.raises(IllegalTransition):
        settle_contender(ledger, contender, Standing.VARIANT)


def test_the_deadline_is_what_the_rule_says_of_all_images_so_far(ledger: Ledger) -> None:
    """The due rule sees every primary image and when this wave of images began."""
    seen: list[tuple[int, datetime, datetime]] = []

    def rule(headers: Sequence[object], since: datetime, last: datetime) -> datetime:
        seen.append((len(headers), since, last))
        return last + timedelta(seconds=10)

    later = NOW + timedelta(seconds=3)
    record_object(ledger, *image(1), rule)
    record_object(ledger, *image(2, at=later), rule)
    assert seen == [(1, NOW, NOW), (2, NOW, later)]
    assert due_studies(ledger, later + timedelta(seconds=9)) == []
    assert len(due_studies(ledger, later + timedelta(seconds=10))) == 1


def test_an_odd_header_does_not_jam_its_sender(ledger: Ledger) -> None:
    """Values longer than their column are entered as far as they fit, and stand whole in the header."""
    received, header = image(1)
    long = replace(
        header,
        scanner=ScannerKey("M" * 900, "O" * 900, "S" * 900),
        who=replace(header.who, patient_id="P" * 900, accession_number="A" * 900),
    )
    assert record_object(ledger, received, long, at_once) is Receipt.NEW
    (study_id,) = due_studies(ledger, NOW)
    revision = open_revision(ledger, study_id, lambda images: replace(plan(images), scanner=long.scanner), NOW)
    assert revision is not None
    assert get_revision(ledger, study_id, 1).plan.images[0].header == long
