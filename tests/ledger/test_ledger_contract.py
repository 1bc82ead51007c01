"""What the ledger promises, on every database that it runs on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, text

from dosremc_node.errors import IllegalTransition, NoSuchStudy, StaleWriter
from dosremc_node.ledger import Ledger, audit
from dosremc_node.ledger.deliveries import documents_to_send, due_deliveries, keep_results
from dosremc_node.ledger.moments import keep_moments, moments_under
from dosremc_node.ledger.overview import find_study, list_reports, list_studies, study_counts
from dosremc_node.ledger.receiving import (
    Receipt,
    contender_and_primary,
    contenders,
    is_our_document,
    next_arrival,
    record_object,
    settle_contender,
)
from dosremc_node.ledger.releases import put_in_force, release_in_force
from dosremc_node.ledger.revisions import (
    Hold,
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
from dosremc_node.ledger.states import DeliveryState, Standing, StudyState
from dosremc_node.ledger.tables import AuditRow, Base
from dosremc_node.records import (
    Assessment,
    BankId,
    BatchNormMoments,
    DeliveryOutcome,
    DeliveryResult,
    Document,
    DocumentKind,
    Domain,
    ImageHeader,
    Laterality,
    LayerMoments,
    OperatingPoint,
    PatientAndStudy,
    Plan,
    ReceivedObject,
    ScannerKey,
    StudyId,
    StudyImage,
    StudyRevision,
    View,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SCANNER = ScannerKey("Maker", "Model", "1.0")

ASSESSMENT = Assessment((), (), 0.25, positive=False, images_not_assessed=(), not_assessed=None)


def image(number: int, study: str = "1.2.3", *, sha256: str | None = None, at: datetime = NOW) -> tuple[ReceivedObject, ImageHeader]:
    """The object and header of one image of a study."""
    uid = f"{study}.{number}"
    received = ReceivedObject(
        sha256 or f"{number:064x}", 1 << 33, "1.2.840.10008.5.1.4.1.1.1.2", uid, "1.2.840.10008.1.2.1", "MODALITY", "127.0.0.1", at
    )
    who = PatientAndStudy(study, "P1", "ISSUER", "A1", date(2026, 3, 1))
    return received, ImageHeader(who, uid, received.sop_class_uid, f"{study}.9", "MG", SCANNER, Laterality.LEFT, View.CC)


def at_once(_headers: object, _since: datetime, last: datetime) -> datetime:
    """A due rule: complete with every image."""
    return last


def plan(images: object) -> Plan:
    """A plan that assesses every image with one bank."""
    assert isinstance(images, list)
    chosen = tuple(StudyImage(instance_id, sha256, header, None) for instance_id, sha256, header in images)
    return Plan(chosen, SCANNER, Domain("maker"), "r1", BankId(Domain("maker"), "b" * 64), OperatingPoint(0.5), None)


def opened(ledger: Ledger, study: str = "1.2.3") -> StudyRevision:
    """A study of one image with an open revision."""
    record_object(ledger, *image(1, study), at_once)
    study_id = find_study(ledger, study)
    assert study_id is not None
    revision = open_revision(ledger, study_id, plan, NOW)
    assert revision is not None
    return revision


def held(ledger: Ledger, revision: StudyRevision) -> Hold:
    """The revision in hand."""
    hold = take_in_hand(ledger, revision.study_id, revision.number, 5)
    assert hold is not None
    return hold


def documents(revision: StudyRevision) -> list[tuple[Document, str]]:
    """A summary and a region report, as if rendered."""
    return [
        (
            Document(kind, "1.2.840.10008.5.1.4.1.1.88.33", f"2.25.{revision.number}{place}", f"2.25.9{place}", "AI", b""),
            f"documents/ab/{'ab' * 32}",
        )
        for place, kind in enumerate((DocumentKind.SUMMARY, DocumentKind.REGION))
    ]


def delivering(ledger: Ledger, destinations: Sequence[str] = ("pacs",)) -> StudyRevision:
    """A revision whose two documents are due at each destination."""
    revision = opened(ledger)
    hold = held(ledger, revision)
    keep_assessment(ledger, hold, ASSESSMENT)
    keep_documents(ledger, hold, documents(revision), [(name, tuple(DocumentKind)) for name in destinations])
    return revision


def answer(outcome: DeliveryOutcome, status: int | None, *uids: str) -> list[DeliveryResult]:
    """The same answer to each document."""
    return [DeliveryResult(uid, outcome, status, "in words") for uid in uids]


def never(_attempts: int) -> datetime | None:
    """A retry rule: tried often enough."""
    return None


def state_of(ledger: Ledger, study_id: StudyId) -> StudyState:
    """What `status` shows."""
    return next(row.state for row in list_studies(ledger) if row.study_id == study_id)


# --- Schema -----------------------------------------------------------------------------------------------------------


def test_the_migrations_make_the_tables_that_the_program_uses(ledger: Ledger) -> None:
    """A table that no migration makes exists on no hospital's database."""
    with ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata) == []


def test_nodes_that_start_together_migrate_one_after_the_other(ledger_url: str) -> None:
    """Two processes that begin on an empty database must both end with the schema, and neither with an error."""
    program = "import sys; from dosremc_node.ledger import open_ledger; open_ledger(sys.argv[1]).check_schema()"
    started = [subprocess.Popen([sys.executable, "-c", program, ledger_url]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in started] == [0, 0, 0]


def test_a_ledger_that_stays_open_does_not_keep_others_out(ledger: Ledger) -> None:
    """A supervisor holds its ledger open for as long as it runs, while its children open theirs."""
    program = "import sys; from dosremc_node.ledger import open_ledger; open_ledger(sys.argv[1]).check_schema()"
    url = ledger.url.render_as_string(hide_password=False)
    assert subprocess.run([sys.executable, "-c", program, url], check=False, timeout=60).returncode == 0


# --- Arrival ----------------------------------------------------------------------------------------------------------


def test_what_arrives_at_an_open_study_can_be_walked_through(ledger: Ledger) -> None:
    """Primary images of studies that wait for a revision, in the order of arrival; a contender and a study that waits for none are passed over."""
    opened(ledger, "1.1")
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


# --- Revisions --------------------------------------------------------------------------------------------------------


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


# --- Deliveries -------------------------------------------------------------------------------------------------------


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
    assert second.attempts == due.attempts + 1


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


# --- Releases, audit, overview ----------------------------------------------------------------------------------------


def test_a_release_is_put_in_force_while_others_look(ledger: Ledger) -> None:
    """The pointer is one row, and each change leaves a trace."""
    assert release_in_force(ledger) is None
    put_in_force(ledger, "r1", "first start")
    put_in_force(ledger, "r2", "physicist")
    put_in_force(ledger, "r2", "physicist")
    assert release_in_force(ledger) == "r2"
    with ledger.reading() as session:
        assert [(row.sequence, row.subject) for row in session.query(AuditRow).order_by(AuditRow.sequence)] == [(1, "r1"), (2, "r2")]


@pytest.mark.parametrize("tamper", ["UPDATE audit SET actor = 'nobody' WHERE sequence = 2", "DELETE FROM audit WHERE sequence = 2"])
def test_a_changed_or_removed_audit_row_shows(ledger: Ledger, tamper: str) -> None:
    """The chain of hashes breaks where somebody laid hands on it."""
    for number in range(3):
        put_in_force(ledger, f"r{number}", "physicist")
    assert audit.first_broken_link(ledger) is None
    with ledger.transaction() as session:
        session.execute(text(tamper))
    assert audit.first_broken_link(ledger) == 2


def test_appends_at_the_same_moment_make_one_chain(ledger: Ledger) -> None:
    """Two appends must never share a predecessor."""
    threads = [threading.Thread(target=put_in_force, args=(ledger, f"r{number}", "physicist")) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert audit.first_broken_link(ledger) is None


def test_studies_are_counted_in_the_state_that_status_shows(ledger: Ledger) -> None:
    """A study with a due row is receiving, whatever its latest revision is."""
    delivering(ledger)
    record_object(ledger, *image(1, "7.7"), at_once)
    counts = study_counts(ledger)
    assert (counts[StudyState.RECEIVING], counts[StudyState.DELIVERING], sum(counts.values())) == (1, 1, 2)


# --- What was measured ------------------------------------------------------------------------------------------------


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
    assert [due.attempts for due in due_deliveries(ledger, away) if due.destination == "archive"] == [1]
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
