"""The tables are those that the migrations make, however many processes make them. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.tables import Base


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
