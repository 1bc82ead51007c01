"""What may change, by how much, and how it must be proven: the bounds that a person approved beforehand, enforced in code.

In the spirit of a predetermined change control plan: a change outside it needs people, not a setting.
"""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dosremc_node.configuration import shipped
from dosremc_node.errors import ChangePlanUnreadable


class ChangeKind(StrEnum):
    """What a new release may differ in."""

    ALIGNMENT = "alignment"
    CALIBRATION = "calibration"
    STATISTICS = "statistics"
    FINE_TUNING = "fine-tuning"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Looks(_Part):
    """``alpha``: the chance that any change is promoted over all ``planned`` looks although nothing has changed; each look gets its part."""

    alpha: float = Field(0.05, gt=0, lt=0.5)
    planned: int = Field(24, ge=1)

    @property
    def alpha_of_one(self) -> float:
        """What one look may spend. Each look judges exams that no other has judged, so the parts add up (Bonferroni)."""
        return self.alpha / self.planned


class ReferencePlan(_Part):
    """How many exams of a scanner that is known to be well are frozen."""

    exams: int = Field(1000, ge=300)


class AlignmentPlan(_Part):
    """``exams``: how many without labels an alignment is made from, and as many again it is judged by. ``recall_band``: how far the share of
    flagged exams may then lie from the reference's.
    """

    exams: int = Field(250, ge=250)
    recall_band: float = Field(0.09, gt=0, lt=0.5)


class CalibrationPlan(_Part):
    """``fitted_events`` and ``judged_events``: exams with a known malignancy, at least, to fit and to judge; the bounds hold for what the
    proposal changes on the scale of calibrated logits.
    """

    fitted_events: int = Field(10, ge=10)
    judged_events: int = Field(10, ge=5)
    largest_intercept: float = Field(3.0, gt=0)
    smallest_slope: float = Field(0.5, gt=0)
    largest_slope: float = Field(2.0, gt=0)


class StatisticsPlan(_Part):
    """``exams``: how many consecutive ones of a domain the statistics are measured on, at least; ``missing_share`` of an interval's exams may
    lack an image that can be read. The source's statistics weigh as much as ``source_images`` images; ``early`` is the share of the
    batch norms, from the image on, that move.
    """

    exams: int = Field(1000, ge=1000)
    missing_share: float = Field(0.05, ge=0, lt=0.5)
    source_images: int = Field(250, ge=0)
    early: float = Field(1.0, gt=0, le=1)


class FineTuningPlan(_Part):
    """``fitted_events`` and ``judged_events``: exams with a known malignancy, at least, to learn from and to judge by. ``epochs`` and ``rate``
    are those of the training; ``validation_share`` of the women it learns from choose the epoch.
    """

    fitted_events: int = Field(100, ge=50)
    judged_events: int = Field(50, ge=50)
    epochs: int = Field(10, ge=1, le=100)
    rate: float = Field(1e-3, gt=0)
    validation_share: float = Field(0.2, gt=0, lt=0.5)


class ChangePlan(_Part):
    """The whole plan."""

    allowed: tuple[ChangeKind, ...] = tuple(ChangeKind)
    automatic: tuple[ChangeKind, ...] = ()
    """Kinds that take effect without an approver."""
    looks: Looks = Looks()
    reference: ReferencePlan = ReferencePlan()
    alignment: AlignmentPlan = AlignmentPlan()
    calibration: CalibrationPlan = CalibrationPlan()
    statistics: StatisticsPlan = StatisticsPlan()
    fine_tuning: FineTuningPlan = FineTuningPlan()


def read_change_plan(path: Path | None = None) -> ChangePlan:
    """The plan in this TOML file, or the one that came with the program. Raises `ChangePlanUnreadable`."""
    source = path or shipped("change_plan.toml")
    try:
        return ChangePlan.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ChangePlanUnreadable(plan=source, why=str(error)) from error
