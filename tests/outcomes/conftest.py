"""Messages of results, and readers by a site's settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from harness.messages import message

from dosremc_node.outcomes import OutcomeReader
from dosremc_node.records import OutcomeReport
from dosremc_node.settings import OutcomeSettings

PATIENT = "PID|1||4711^^^HOSPITAL^MR||DOE^JANE||19600102|F"
Read = Callable[..., Sequence[OutcomeReport]]


@pytest.fixture
def read() -> Read:
    """Reads a message of these segments: ``read(*segments, breast_only=..., version=...)``."""

    def reports(
        *segments: str, version: str = "2.5.1", more: str = "", encoding: str = "utf-8", **settings: object
    ) -> Sequence[OutcomeReport]:
        patient = () if any(each.startswith("PID") for each in segments) else (PATIENT,)
        content = message("ORU^R01", *patient, *segments, version=version, more=more, encoding=encoding)
        return OutcomeReader(OutcomeSettings(**settings)).read_message(content)  # type: ignore[arg-type]

    return reports


@pytest.fixture
def read_one(read: Read) -> Callable[..., OutcomeReport]:
    def only(*segments: str, **more: object) -> OutcomeReport:
        (report,) = read(*segments, **more)
        return report

    return only
