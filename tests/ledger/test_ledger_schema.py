"""The tables are those that the migrations make, however many processes make them. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from harness.ledger import at_once, image
from sqlalchemy import text

import dosremc_node.ledger
from dosremc_node.ledger import Ledger, audit, open_ledger
from dosremc_node.ledger.conflict_decisions import list_conflicts
from dosremc_node.ledger.deliveries import documents_to_send, due_deliveries
from dosremc_node.ledger.overview import list_studies
from dosremc_node.ledger.receiving import Receipt, record_object
from dosremc_node.ledger.revisions import due_studies, get_assessment
from dosremc_node.ledger.states import StudyState
from dosremc_node.ledger.tables import Base
from dosremc_node.ledger.transfers import tell_of_instances
from dosremc_node.records import StudyId


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


def _of_revision_0002(url: str) -> None:
    """A ledger as an earlier version left it."""
    ledger = Ledger(url)
    config = Config()
    config.set_main_option("script_location", str(Path(dosremc_node.ledger.__file__).parent / "migrations"))
    with ledger.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        if ledger.engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))
        for line in Path(__file__).with_name("revision_0002.sql").read_text().splitlines()[1:]:
            connection.exec_driver_sql(line)
        connection.commit()
    ledger.close()


def test_a_ledger_of_an_earlier_version_goes_on_where_it_was(ledger_url: str) -> None:
    """A hospital upgrades a ledger with rows in it: all of them are read, what was due is due, and what arrived is told to the trail."""
    _of_revision_0002(ledger_url)
    ledger = open_ledger(ledger_url)
    ledger.check_schema()
    now = datetime.now(UTC)
    states = {row.study_id: row.state for row in list_studies(ledger)}
    assert states == {"S-GXHZ4XWTSRCC": StudyState.DELIVERING, "S-5AP4QMNMDP67": StudyState.RECEIVING}
    assert due_studies(ledger, now) == ["S-5AP4QMNMDP67"]
    assert [len(documents_to_send(ledger, due)) for due in due_deliveries(ledger, now)] == [2]
    assessment = get_assessment(ledger, StudyId("S-GXHZ4XWTSRCC"), 1)
    assert assessment is not None
    assert assessment.exam_probability == 0.25
    assert record_object(ledger, *image(1), at_once) is Receipt.DUPLICATE
    assert record_object(ledger, *image(2), at_once) is Receipt.NEW
    assert list_conflicts(ledger) == []
    assert tell_of_instances(ledger) == 3
    assert audit.faults(ledger) == []
    ledger.close()
