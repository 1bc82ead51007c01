"""What may change, by how much, and how it must be proven: the bounds that a person approved beforehand, enforced in code.

In the spirit of a predetermined change control plan: a change outside it needs people, not a setting.
"""

from __future__ import annotations

import hashlib
import tomllib
from datetime import date
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
    since: date | None = None
    """Looks before this day were paid for by an earlier plan."""

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
    largest_shift: float = Field(8.0, gt=0)
    """How far one alignment may move a score, in logits."""


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
    judged_events: int = Field(50, ge=10)
    """Later exams with a known malignancy, at least, that judge them; a domain without a bank of its own is judged by what it would flag."""
    largest_mean_shift: float = Field(2.0, gt=0)
    """How far the means before one batch norm may move (root mean square over its channels), in standard deviations in force."""
    largest_variance_ratio: float = Field(4.0, gt=1)
    """By what factor its variances may grow or shrink (median over its channels)."""


class FineTuningPlan(_Part):
    """``fitted_events`` and ``judged_events``: exams with a known malignancy, at least, to learn from and to judge by. ``epochs`` and ``rate``
    are those of the training; ``validation_share`` of the women it learns from choose the epoch.
    """

    fitted_events: int = Field(100, ge=50)
    judged_events: int = Field(50, ge=50)
    epochs: int = Field(10, ge=1, le=100)
    rate: float = Field(1e-3, gt=0)
    validation_share: float = Field(0.2, gt=0, lt=0.5)
    largest_change: float = Field(0.5, gt=0)
    """How far what was learnt may move: the length of its change over its own. Its statistics keep within [statistics]."""


class NonInferiorityPlan(_Part):
    """A new bank may cost at most these margins of log loss per image and of the area under the ROC curve per exam, on the domain and on each
    of its scanners, but for a chance of ``alpha``. Where the exams could show that of an equal one in less than ``power`` of
    cases, they are too few.
    """

    log_loss_margin: float = Field(0.002, gt=0)
    auc_margin: float = Field(0.03, gt=0, lt=0.5)
    alpha: float = Field(0.05, gt=0, lt=0.5)
    power: float = Field(0.8, gt=0, lt=1)


class GuardAction(StrEnum):
    """What follows where a promoted change leaves its band."""

    ROLL_BACK = "roll-back"
    WITHHOLD = "withhold"


class GuardPlan(_Part):
    """``shadow_exams``: how many live exams a proposal scores without being shown before it may be approved; 0: none. From ``exams`` on, in the
    shadow and in service, the share of flagged ones must lie within ``recall_band`` of what the gate expected; else
    ``action``. A domain whose change can no longer be rolled back alone is withheld: scored, and not shown.
    """

    shadow_exams: int = Field(0, ge=0)
    exams: int = Field(250, ge=50)
    recall_band: float = Field(0.09, gt=0, lt=0.5)
    action: GuardAction = GuardAction.ROLL_BACK


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
    non_inferiority: NonInferiorityPlan = NonInferiorityPlan()
    guard: GuardPlan = GuardPlan()

    @property
    def sha256(self) -> str:
        """What tells whether a proposal was judged under this plan: comments and order do not count."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def read_change_plan(path: Path | None = None) -> ChangePlan:
    """The plan in this TOML file, or the one that came with the program. Raises `ChangePlanUnreadable`."""
    source = path or shipped("change_plan.toml")
    try:
        return ChangePlan.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ChangePlanUnreadable(plan=source, why=str(error)) from error
