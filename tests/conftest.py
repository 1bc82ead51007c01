"""What every test may use: the folder of real and odd test data, free ports, and peers that nobody here wrote."""

from __future__ import annotations

import gc
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from dosremc_node.simulation import loopback
from dosremc_node.simulation.loopback import free_port as free_loopback_port
from dosremc_node.simulation.pacs import Orthanc, orthanc_program
from dosremc_node.simulation.stand_in_pacs import StandInPacs

# How long an example takes says something of the machine, and of what runs beside it.
settings.register_profile("any machine", settings(), deadline=None)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Give each of several test processes ports of its own: one that is free for two would be taken by both."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker:
        loopback.PORTS = loopback.PORTS[int(worker["workerid"].removeprefix("gw")) :: worker["workercount"]]


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays until the end: thousands of tests, and the libraries."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real and odd test data that is not part of the product: tests that need it skip where it is missing."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DOSREMC_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"the test data folder {folder} is not there (set DOSREMC_TEST_DATA)")
    return folder


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    return free_loopback_port()


# --- Peers that nobody here wrote -------------------------------------------------------------------------------------

DEBIAN_PROGRAMS = "/usr/bin:/usr/local/bin"


@pytest.fixture(scope="session")
def dcmtk() -> Callable[[str], str]:
    """Gives the path of one of DCMTK's programs, such as ``dcmtk("dcmsend")``."""

    def program(name: str) -> str:
        # pynetdicom puts programs of the same names into the environment, hence the path.
        found = shutil.which(name, path=DEBIAN_PROGRAMS)
        return found or pytest.skip(f"DCMTK's {name} is not installed (Debian package dcmtk)")

    return program


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """A running Orthanc with an empty storage of its own."""
    if orthanc_program() is None:
        pytest.skip("Orthanc is not installed (Debian package orthanc)")
    with Orthanc(tmp_path / "orthanc") as pacs:
        yield pacs


@pytest.fixture
def stand_in_pacs(tmp_path: Path) -> Iterator[StandInPacs]:
    """A running embedded PACS with an empty storage of its own, which can be told to refuse."""
    with StandInPacs(tmp_path / "stand-in-pacs") as pacs:
        yield pacs


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The SQLAlchemy URL of an empty PostgreSQL of this test session's own. Its user may create databases."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    with tempfile.TemporaryDirectory(prefix="dosremc-postgresql-") as folder, _postgresql(programs[-1].parent, Path(folder)) as url:
        yield url


@contextmanager
def _postgresql(programs: Path, folder: Path) -> Iterator[str]:
    """PostgreSQL refuses to run as root: then it runs as ``postgres``, or as ``nobody``."""
    user = next(name for name in ("postgres", "nobody") if _user_exists(name)) if os.geteuid() == 0 else ""
    as_user = ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"] if user else ["setpriv"]
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    data, port = folder / "data", free_loopback_port()
    initialise = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run([*as_user, *initialise], check=True, capture_output=True, cwd=folder)
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off", "max_connections": 200}
    serve = [str(programs / "postgres"), "-D", str(data), *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "postgresql.log").open("wb") as log:
        process = subprocess.Popen([*as_user, "--pdeathsig", "QUIT", *serve], stdout=log, stderr=log, cwd=folder)
    try:
        _wait_until_ready([str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"])
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def _user_exists(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


def _wait_until_ready(question: list[str], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while subprocess.run(question, check=False).returncode != 0:
        assert time.monotonic() < deadline, "PostgreSQL did not get ready"
        time.sleep(0.05)
