"""What every test may use: the folder of real and odd test data, and free ports."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest


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
    """A TCP port of the loopback address that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
