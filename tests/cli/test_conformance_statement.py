"""The conformance statement: what is committed is what the code says, and nothing of this machine is in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, JPEG2000Lossless, MammographyCADSRStorage

REPOSITORY = Path(__file__).resolve().parents[2]
COMMITTED = REPOSITORY / "deploy" / "CONFORMANCE.md"


def printed(**environment: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "dosremc_node", "conformance"]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment}).stdout


def test_the_committed_statement_is_what_the_code_says_and_says_nothing_of_this_machine() -> None:
    """Whoever changes a table, a timeout or a code prints it anew: `dosremc-node conformance > deploy/CONFORMANCE.md`.

    No path, no host, and nothing of the settings that are in force here.
    """
    statement = printed(DOSREMC_NODE__AE_TITLE="CANARY", DOSREMC_RECEPTION__PORT="10999")
    assert statement == COMMITTED.read_text(), "run: dosremc-node conformance > deploy/CONFORMANCE.md"
    for word in ("CANARY", "10999", str(REPOSITORY), str(Path.home()), os.uname().nodename):
        assert word not in statement


def test_its_tables_hold_what_is_known_of_the_node() -> None:
    """Some rows that must be there, written down by hand."""
    statement = COMMITTED.read_text()
    for uid in (DigitalMammographyXRayImageStorageForPresentation, JPEG2000Lossless, MammographyCADSRStorage, "1.2.840.10008.1.20.1"):
        assert uid in statement
    for row in ("| 0xA700-0xA7FF | Refused: out of resources | sent again |", "| 111047 | DCM | Probability of cancer |", "ISO_IR 192"):
        assert row in statement
