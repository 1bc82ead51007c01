"""Which release is in force, and the chain of the audit trail. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from dosremc_node.ledger import Ledger, audit
from dosremc_node.ledger.releases import put_in_force, release_in_force
from dosremc_node.ledger.tables import AuditRow


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
