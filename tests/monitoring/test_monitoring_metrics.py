"""What Prometheus is told: true to the ledger, bounded, in a form that its own tools accept."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.ledger import NOW, answer, at_once, delivering, image
from harness.outcomes import REPORT, exam
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dosremc_node.artifacts import open_store
from dosremc_node.ledger import Ledger, forwarding, open_ledger
from dosremc_node.ledger.deliveries import due_deliveries, keep_results
from dosremc_node.ledger.messages import IncomingMessage, MessageState, enter_message
from dosremc_node.ledger.outcomes import enter_report
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.refusals import Refusal, Refused, keep_refusals, refusal_counts
from dosremc_node.ledger.releases import put_in_force
from dosremc_node.ledger.tables import DeliveryRow, DocumentRow, RevisionRow
from dosremc_node.monitoring.metrics import LedgerCollector
from dosremc_node.monitoring.outcomes import LabelCounter
from dosremc_node.monitoring.readiness import why_not_ready
from dosremc_node.records import DeliveryOutcome, LabelRules
from dosremc_node.refusal_counter import RefusalCounter
from dosremc_node.settings import StorageSettings


@pytest.fixture
def ledger(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    yield opened
    opened.close()


def exposition(ledger: Ledger, tmp_path: Path, peers: tuple[str, ...] = (), sinks: tuple[str, ...] = ()) -> str:
    registry = CollectorRegistry()
    store = open_store(StorageSettings(folder=tmp_path / "artifacts"))
    registry.register(LedgerCollector(ledger, store, peers, lambda: {"worker": 2}, sinks))
    return generate_latest(registry).decode()


def value(text: str, name: str, **labels: str) -> float | None:
    """One sample; None where it is not there."""
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    return next((each.value for each in samples if each.name == name and labels.items() <= each.labels.items()), None)


def test_each_stage_is_measured_from_the_rows(ledger: Ledger, tmp_path: Path) -> None:
    """Two seconds to be complete, three to be assessed, nine to be delivered: in these buckets and sums."""
    delivering(ledger)
    (due,) = due_deliveries(ledger, datetime.now(UTC))
    with ledger.transaction() as session:
        uids = [row.sop_instance_uid for row in session.query(DocumentRow)]
    keep_results(ledger, due, answer(DeliveryOutcome.DELIVERED, 0, *uids), lambda _: None, datetime.now(UTC))
    with ledger.transaction() as session:
        revision = session.query(RevisionRow).one()
        revision.opened_at = revision.study.first_received_at + timedelta(seconds=1.9)
        revision.assessed_at = revision.opened_at + timedelta(seconds=3)
        for document in revision.documents:
            document.rendered_at = revision.assessed_at
        for delivery in session.query(DeliveryRow):
            delivery.delivered_at = revision.assessed_at + timedelta(seconds=9)
    text = exposition(ledger, tmp_path)
    for stage, seconds, below, above, times in (
        ("received to complete", 1.9, "1.0", "2.0", 1),
        ("complete to assessed", 3, "2.0", "5.0", 1),
        ("assessed to delivered", 18, "5.0", "10.0", 2),
    ):
        labels = {"stage": stage, "domain": "maker"}
        assert value(text, "dosremc_stage_seconds_sum", **labels) == pytest.approx(seconds, abs=0.05)
        assert value(text, "dosremc_stage_seconds_bucket", le=below, **labels) == 0
        assert value(text, "dosremc_stage_seconds_bucket", le=above, **labels) == times
        assert value(text, "dosremc_stage_seconds_count", **labels) == times


def test_what_waits_shows_its_age(ledger: Ledger, tmp_path: Path) -> None:
    """A study that is due and a document that was not taken since long ago."""
    delivering(ledger)
    record_object(ledger, *image(8, "1.2.8"), at_once)
    text = exposition(ledger, tmp_path)
    expected = (datetime.now(UTC) - NOW).total_seconds()
    assert value(text, "dosremc_oldest_waiting_seconds", queue="open") == pytest.approx(expected, rel=0.01)
    assert value(text, "dosremc_oldest_waiting_seconds", queue="deliver", destination="pacs") is not None
    assert value(text, "dosremc_oldest_waiting_seconds", queue="assess") is None


def test_what_waits_for_a_person_is_in_no_queue(ledger: Ledger, tmp_path: Path) -> None:
    """A study of two women is parked: that the worker had not come to it would be another alert, and a wrong one."""
    record_object(ledger, *image(1), at_once)
    received, header = image(2)
    record_object(ledger, received, replace(header, who=replace(header.who, patient_id="P2")), at_once)
    text = exposition(ledger, tmp_path)
    assert value(text, "dosremc_studies", state="parked") == 1
    assert value(text, "dosremc_oldest_waiting_seconds", queue="open") is None


def test_strangers_share_one_line(ledger: Ledger, tmp_path: Path) -> None:
    """A scan with ten thousand AE titles must not make ten thousand time series; a peer keeps its name."""
    received, header = image(1)
    record_object(ledger, received, header, at_once)
    strangers = {Refusal(Refused.ASSOCIATION, f"SCAN{number}", "10.0.0.9", "not among the peers"): 1 for number in range(300)}
    keep_refusals(ledger, strangers, NOW)
    text = exposition(ledger, tmp_path, (received.calling_ae_title,))
    assert value(text, "dosremc_refused_total", calling_ae_title="others") == 300
    assert value(text, "dosremc_instances_received_total", calling_ae_title=received.calling_ae_title, domain="none") == 1
    assert "SCAN" not in text


def test_a_message_type_that_nobody_knows_is_no_line_of_its_own(ledger: Ledger, tmp_path: Path) -> None:
    """Whatever stands in MSH-9: a type that was accepted keeps its name, a patient's name that slipped there does not show."""
    for number, (kind, state) in enumerate(
        [
            ("ADT^A08", MessageState.APPLIED),
            ("ADT^A08", MessageState.REFUSED),
            ("DOE^JANE", MessageState.REFUSED),
            ("", MessageState.UNKNOWN),
        ]
    ):
        message = IncomingMessage(f"{number:064x}", b"MSH", kind, "1", "RIS", "127.0.0.1", NOW)
        enter_message(ledger, message, state, "", ())
    text = exposition(ledger, tmp_path)
    assert value(text, "dosremc_messages", type="ADT^A08", state="refused") == 1
    assert value(text, "dosremc_messages", type="others", state="refused") == 1
    assert "DOE" not in text


def test_the_trail_waits_for_the_places_of_the_settings_only(ledger: Ledger, tmp_path: Path) -> None:
    """One that was taken out of the settings would wait for ever; one that never answered waits from the first row on."""
    put_in_force(ledger, "r1", "physicist")
    put_in_force(ledger, "r2", "physicist")
    forwarding.take(ledger, "file here:/old", "one", NOW, timedelta(seconds=60))
    forwarding.take(ledger, "anchors here:/new", "one", NOW, timedelta(seconds=60))
    forwarding.advance(ledger, "anchors here:/new", "one", 1)
    text = exposition(ledger, tmp_path, sinks=("anchors here:/new", "syslog audit:6514"))
    waiting = {sink: value(text, "dosremc_audit_waiting_rows", sink=sink) for sink in ("file", "anchors", "syslog")}
    assert waiting == {"file": None, "anchors": 1, "syslog": 2}


def test_a_scan_makes_a_hundred_rows_and_no_more(ledger: Ledger) -> None:
    """Ten thousand AE titles in one moment: counted, but not told apart."""
    counter = RefusalCounter(ledger)
    for number in range(10_000):
        counter.add("association", f"S{number}", "10.0.0.9", "not among the peers")
    counter.enter()
    counts = refusal_counts(ledger)
    assert len(counts) == 101
    assert sum(counts.values()) == 10_000


def test_no_patient_and_no_uid_is_in_the_metrics(ledger: Ledger, tmp_path: Path) -> None:
    """Promise 13."""
    revision = delivering(ledger)
    text = exposition(ledger, tmp_path)
    assert revision.who.study_instance_uid + '"' not in text
    assert "2.25." not in text
    assert not revision.who.patient_id or revision.who.patient_id not in text


def test_prometheus_takes_the_exposition(ledger: Ledger, tmp_path: Path) -> None:
    """By promtool, which also knows the rules for names."""
    promtool = shutil.which("promtool") or pytest.skip("promtool is not installed (Debian package prometheus)")
    put_in_force(ledger, "r1", "physicist")
    delivering(ledger)
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=exposition(ledger, tmp_path), text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_node_without_room_or_ledger_is_not_ready(ledger: Ledger, tmp_path: Path) -> None:
    """Ready means that an image would be taken in."""
    store = open_store(StorageSettings(folder=tmp_path / "artifacts"))
    assert why_not_ready(ledger, store, 0) is None
    assert "are free" in (why_not_ready(ledger, store, 1 << 62) or "")
    gone = Ledger("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    assert "does not answer" in (why_not_ready(gone, store, 0) or "")
    gone.close()


def test_outcomes_and_labels_are_counted_without_a_name(ledger: Ledger, tmp_path: Path) -> None:
    """What waits for a person shows, and how much is known of each domain; labels, which take long, are not counted anew at each scrape."""
    exam(ledger)
    enter_report(ledger, REPORT, NOW)
    enter_report(ledger, replace(REPORT, identifier="R2", diagnosis=None), NOW)
    counter = LabelCounter(ledger, LabelRules(timedelta(days=3650)))
    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledger, open_store(StorageSettings(folder=tmp_path / "artifacts")), labels=counter))
    text = generate_latest(registry).decode()
    assert value(text, "dosremc_outcomes", state="review") == value(text, "dosremc_outcomes", state="matched") == 1
    assert (
        value(text, "dosremc_labels", domain="maker", state="positive")
        == value(text, "dosremc_labels", domain="maker", state="pending")
        == 1
    )
    assert not {REPORT.patient.patient_id, REPORT.identifier} & set(text.replace('"', " ").split())
    exam(ledger)
    assert counter() is counter()
