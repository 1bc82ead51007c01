"""Exams with scores, as rows of a ledger know them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from dosremc_node.ledger.exams import AssessedExam, ScoredView
from dosremc_node.records import Domain, Laterality, StudyId, View
from dosremc_node.settings import SHIPPED_RELEASE

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
DOMAIN = Domain("simulated-a")
KEY = "Maker A / Model / 1.0"


def exam(
    number: int, *, release_id: str = SHIPPED_RELEASE, positive: bool = False, logit: float = -2.0, day: date | None = None
) -> AssessedExam:
    """An exam of one image."""
    view = ScoredView(f"{number:064x}", Laterality.LEFT, View.CC, logit, positive)
    taken = day or NOW.date() + timedelta(days=1)
    return AssessedExam(
        StudyId(f"S-{number:012d}"), KEY, DOMAIN, release_id, "b" * 64, taken, 60, in_shadow=False, positive=positive, images=(view,)
    )
