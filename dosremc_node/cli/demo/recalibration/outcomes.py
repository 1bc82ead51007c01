"""Outcomes as a laboratory sends them: one HL7 v2 message (ORU^R01) for each cancer, over MLLP."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from datetime import date, timedelta

from dosremc_node.cli.demo.recalibration.exams import Batch
from dosremc_node.errors import PeerRefused
from dosremc_node.records import Laterality

_TIMEOUT_SECONDS = 30.0
_DAYS_TO_BIOPSY = 20
_START, _END = b"\x0b", b"\x1c\r"


def report(patient_id: str, accession_number: str, side: Laterality, taken_on: date) -> bytes:
    """A biopsy of one breast: invasive ductal carcinoma (ICD-O-3 8500/3), coded, with its side."""
    day = (taken_on + timedelta(days=_DAYS_TO_BIOPSY)).strftime("%Y%m%d")
    breast = {Laterality.LEFT: "80248007^Left breast^SCT", Laterality.RIGHT: "73056007^Right breast^SCT"}[side]
    segments = (
        f"MSH|^~\\&|LIS|PATHOLOGY|DOSREMC|RADIOLOGY|{day}120000||ORU^R01^ORU_R01|{accession_number}|P|2.5.1",
        f"PID|1||{patient_id}",
        f"OBR|1|{accession_number}|P{accession_number}|88305^Surgical pathology^C4|||{day}|||||||||||{accession_number}||||{day}||SP|F",
        f"SPM|1|P{accession_number}-1||TISS||||{breast}|||||||||{day}",
        "OBX|1|CWE|22637-3^Pathology report final diagnosis^LN||8500/3^Infiltrating duct carcinoma^ICDO3||||||F",
    )
    return "\r".join((*segments, "")).encode()


def send_reports(port: int, reports: Iterable[bytes]) -> int:
    """Send each and wait for its acknowledgement; answers how many were accepted. Raises `PeerRefused`."""
    accepted = 0
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS) as connection, connection.makefile("rb") as answers:
        for content in reports:
            connection.sendall(_START + content + _END)
            answer = b""
            while not answer.endswith(_END):
                answer += answers.read(1)
            if b"MSA|AA" not in answer:
                raise PeerRefused(peer="the node", why="an outcome was not acknowledged")
            accepted += 1
    return accepted


def cancers(batch: Batch) -> Iterable[tuple[int, Laterality]]:
    """The women of a batch who have one, by number, and the side."""
    for number in range(batch.count):
        if side := batch.order(number).malignant:
            yield number, side
