"""The ledger's database: SQLite or PostgreSQL by URL, its schema brought up to date by Alembic."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError  # noqa: A004 - the pool's, no other is meant here
from sqlalchemy.orm import Session, sessionmaker

from dosremc_node.errors import LedgerOutOfDate, LedgerUnavailable

_MIGRATION_LOCK = 0x446F5352654D43  # an advisory lock of our own, so that nodes started together migrate one by one


class Ledger:
    """The one place that holds the truth. Functions of this room take it as their first argument.

    Safe to share between threads; a process that forks needs one of its own.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine = _engine(url)
        self._writers = sessionmaker(self.engine, expire_on_commit=False)
        self._readers = sessionmaker(self.engine.execution_options(reads_only=True), expire_on_commit=False)

    @classmethod
    def existing(cls, url: str) -> Ledger | None:
        """The ledger at ``url`` without making one: None where there is no SQLite file."""
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
            return None
        return cls(url)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction: committed (and on the disk) when the block ends, rolled back when it raises. Raises `LedgerUnavailable`."""
        with _available(), self._writers.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent look, which stops no writer. Raises `LedgerUnavailable`."""
        with _available(), self._readers.begin() as session:
            yield session

    def migrate(self) -> None:
        """Bring the schema up to date; processes that start together wait for each other."""
        with _alone(self.url), self.engine.connect() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config = _alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def check_schema(self) -> None:
        """Raise `LedgerOutOfDate` where the schema is not the one this program was made for."""
        with self.engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        needed = ScriptDirectory.from_config(_alembic_config()).get_current_head()
        if found != needed:
            raise LedgerOutOfDate(found=found or "empty", needed=needed)

    def close(self) -> None:
        self.engine.dispose()


def open_ledger(url: str) -> Ledger:
    """Open the ledger at ``url`` and bring its schema up to date."""
    ledger = Ledger(url)
    ledger.migrate()
    return ledger


@contextmanager
def _available() -> Iterator[None]:
    """Tell a database that is away, busy or full from one that refuses what it is asked."""
    try:
        yield
    except (OperationalError, InterfaceError, TimeoutError) as error:
        raise LedgerUnavailable(why=type(error).__name__) from None


@contextmanager
def _alone(url: URL) -> Iterator[None]:
    """Hold a lock beside an SQLite file: a database in the making answers a second process with an error, not with patience."""
    if url.get_backend_name() != "sqlite" or not url.database:
        yield
        return
    with Path(f"{url.database}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": 30})
    event.listen(engine, "connect", _make_sqlite_durable)
    event.listen(engine, "begin", _begin)
    return engine


def _make_sqlite_durable(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself: _begin does
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # a committed row survives a power cut, not only a crash
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    # A transaction that begins by reading and then writes cannot wait for another writer in SQLite: it fails at once.
    # Taking the write lock first lets it wait.
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
