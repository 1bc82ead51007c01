"""Reports of pathology and follow-up: entered as they come, matched to an exam and a breast, left to a person where that is not certain."""

from __future__ import annotations

from datetime import datetime, timedelta

from dosremc_node.ledger.database import Ledger
from dosremc_node.records import OutcomeReport

WITHIN = timedelta(days=1096)
"""How long after an exam a report can be of it, where the settings say nothing else (`outcomes.match_months`)."""


def enter_report(ledger: Ledger, report: OutcomeReport, now: datetime, within: timedelta = WITHIN) -> int:
    """Enter what a report says of a breast and match it; when this returns, its row is committed. Answers its number.

    The same report twice is one row. Versions of one result share source and identifier, whatever order they come in: a correction or a
    withdrawal replaces a final report, which replaces a preliminary one; among equals the one that was issued last. So a result that is of
    two breasts has two identifiers.
    """
    raise NotImplementedError
