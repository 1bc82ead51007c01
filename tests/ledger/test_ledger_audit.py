"""Which release is in force, and the audit trail: its chain, its anchors, what it tells of. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from harness.ledger import at_once, image
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dosremc_node.ledger import Ledger, audit, forwarding
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.refusals import Refusal, Refused, keep_refusals, refusal_counts
from dosremc_node.ledger.releases import put_in_force, release_in_force
from dosremc_node.ledger.tables import AuditRow
from dosremc_node.ledger.transfers import tell_of_instances, tell_of_refusals

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def tamper(ledger: Ledger, statement: str) -> None:
    """Do what the database refuses, as somebody can who may drop its triggers."""
    postgresql = ledger.engine.dialect.name == "postgresql"
    triggers = [("audit_append_only", " ON audit")] if postgresql else [("audit_UPDATE", ""), ("audit_DELETE", "")]
    with ledger.transaction() as session:
        for name, where in triggers:
            session.execute(text(f"DROP TRIGGER {name}{where}"))
        session.execute(text(statement))


def three_rows(ledger: Ledger) -> list[audit.Anchor]:
    """A trail of three rows, and an anchor of each."""
    for number in range(3):
        put_in_force(ledger, f"r{number}", "physicist")
    assert audit.first_broken_link(ledger) is None
    return [audit.Anchor(each.sequence, each.sha256, datetime.now(UTC)) for each in audit.entries(ledger)]


def test_a_release_is_put_in_force_while_others_look(ledger: Ledger) -> None:
    """The pointer is one row, and each change leaves a trace."""
    assert release_in_force(ledger) is None
    put_in_force(ledger, "r1", "first start")
    put_in_force(ledger, "r2", "physicist")
    put_in_force(ledger, "r2", "physicist")
    assert release_in_force(ledger) == "r2"
    with ledger.reading() as session:
        assert [(row.sequence, row.subject) for row in session.query(AuditRow).order_by(AuditRow.sequence)] == [(1, "r1"), (2, "r2")]


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'nobody' WHERE sequence = 2", "DELETE FROM audit WHERE sequence = 2"])
def test_the_database_refuses_to_change_the_trail(ledger: Ledger, statement: str) -> None:
    """Append-only is no convention: the tables themselves say so."""
    three_rows(ledger)
    with pytest.raises(DBAPIError, match="append-only"), ledger.transaction() as session:
        session.execute(text(statement))
    assert audit.first_broken_link(ledger) is None


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE sequence = 2", "row 2 was changed"),
        ("DELETE FROM audit WHERE sequence = 2", "rows 2 to 2 were removed"),
    ],
)
def test_a_changed_or_removed_audit_row_shows(ledger: Ledger, statement: str, what: str) -> None:
    """The chain of hashes breaks where somebody laid hands on it."""
    three_rows(ledger)
    tamper(ledger, statement)
    assert audit.faults(ledger)[0] == audit.Fault(2, what)


def test_a_trail_that_was_cut_off_shows_by_its_anchors_only(ledger: Ledger) -> None:
    """What is left after a truncation is a chain without a flaw."""
    anchors = three_rows(ledger)
    assert audit.faults(ledger, anchors) == []
    tamper(ledger, "DELETE FROM audit WHERE sequence > 1")
    assert audit.faults(ledger) == []
    assert audit.faults(ledger, anchors) == [audit.Fault(2, "rows 2 to 3 were cut off at the end")]


def test_a_trail_that_was_written_anew_shows_by_its_anchors_only(ledger: Ledger) -> None:
    """Whoever can write the table can compute a new chain, but not what was written down elsewhere."""
    anchors = three_rows(ledger)
    tamper(ledger, "DELETE FROM audit WHERE sequence > 1")
    for name in ("r8", "r9"):
        audit.record(ledger, "physicist", "release in force", name, {})
    assert audit.faults(ledger) == []
    assert audit.faults(ledger, anchors) == [audit.Fault(2, "row 2 is another one than when it was anchored")]


def test_a_restored_backup_accounts_for_the_rows_that_it_lost(ledger: Ledger) -> None:
    """Anchors from before the restoring are excused by its row, later ones are not."""
    anchors = three_rows(ledger)
    tamper(ledger, "DELETE FROM audit WHERE sequence > 1")
    audit.record(ledger, "administrator", audit.RESTORE, "node", {})
    assert audit.faults(ledger, anchors) == []
    later = audit.Anchor(5, "0" * 64, datetime.now(UTC) + timedelta(seconds=1))
    assert audit.faults(ledger, [*anchors, later]) == [audit.Fault(3, "rows 3 to 5 were cut off at the end")]


def test_appends_at_the_same_moment_make_one_chain(ledger: Ledger) -> None:
    """Two appends must never share a predecessor."""
    threads = [threading.Thread(target=put_in_force, args=(ledger, f"r{number}", "physicist")) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert audit.first_broken_link(ledger) is None


def test_every_instance_is_told_of_once_with_who_sent_it(ledger: Ledger) -> None:
    """One row for each study and sender, however many images; what came later is told of by a row of its own."""
    for number in range(1, 5):
        record_object(ledger, *image(number), at_once)
    record_object(ledger, *image(9, "1.2.4"), at_once)
    assert (tell_of_instances(ledger), tell_of_instances(ledger)) == (5, 0)
    first, second = audit.entries(ledger)
    assert sum(first.detail["sop_classes"].values()) == 4
    assert (first.detail["study_instance_uid"], second.detail["study_instance_uid"]) == ("1.2.3", "1.2.4")
    assert first.detail["calling_ae_title"] == image(1)[0].calling_ae_title
    record_object(ledger, *image(5), at_once)
    assert tell_of_instances(ledger) == 1


def test_refusals_are_counted_and_told_of(ledger: Ledger) -> None:
    """How often, by whom, from where and why: over all processes, and once in the trail."""
    refused = Refusal(Refused.ASSOCIATION, "INTRUDER", "10.0.0.9", "not among the peers")
    keep_refusals(ledger, {refused: 3}, NOW)
    keep_refusals(ledger, {refused: 2}, NOW)
    assert refusal_counts(ledger) == {(Refused.ASSOCIATION, "INTRUDER", "not among the peers"): 5}
    assert (tell_of_refusals(ledger), tell_of_refusals(ledger)) == (2, 0)
    assert [(each.action, each.detail["times"]) for each in audit.entries(ledger)] == [("refuse association", 3), ("refuse association", 2)]


def test_one_process_at_a_time_hands_the_trail_on(ledger: Ledger) -> None:
    """The next goes on where the last one got to, once its time is over."""
    hold = timedelta(seconds=60)
    assert forwarding.take(ledger, "file", "one", NOW, hold) == 0
    assert forwarding.take(ledger, "file", "two", NOW, hold) is None
    forwarding.advance(ledger, "file", "one", 7)
    forwarding.advance(ledger, "file", "two", 9)
    assert forwarding.positions(ledger) == {"file": 7}
    assert forwarding.take(ledger, "file", "two", NOW + 2 * hold, hold) == 7
    assert forwarding.take(ledger, "file", "three", NOW, hold) == 7, "a clock that was set back must not stop the trail for ever"
