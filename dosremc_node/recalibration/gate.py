"""What a proposal must pass. A refusal names its rule and shows the numbers; where there is too little to tell, it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from dosremc_node.recalibration.calibration import Calibration
from dosremc_node.recalibration.change_plan import ChangeKind, ChangePlan
from dosremc_node.recalibration.comparison import compare, flagged_share
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import OperatingPoint

Numbers = dict[str, float]
EXPECTED_SHARE = "expected_share"
"""Among a decision's numbers, the share of exams that the proposal is expected to flag: what guards hold it against."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the proposal passed, by which rule it did not, and what was found."""

    kind: ChangeKind
    passed: bool
    rule: str
    numbers: Numbers = field(default_factory=dict)


def judge_calibration(plan: ChangePlan, champion: OperatingPoint, proposal: Calibration, held_out: Scores) -> Decision:
    """A tie keeps the champion. ``held_out`` are later exams that no look has used."""
    kind, alpha = ChangeKind.CALIBRATION, plan.looks.alpha_of_one
    bounds = plan.calibration
    slope = proposal.point.slope / champion.slope
    intercept = proposal.point.intercept - slope * champion.intercept
    numbers: Numbers = {"p": proposal.p, "alpha": alpha, "slope": slope, "intercept": intercept, "fitted_events": proposal.events}
    if kind not in plan.allowed:
        return Decision(kind, passed=False, rule="the change plan does not allow this kind of change", numbers=numbers)
    if proposal.p >= alpha:
        return Decision(kind, passed=False, rule="nothing has changed, as far as the outcomes can tell", numbers=numbers)
    if abs(intercept) > bounds.largest_intercept or not bounds.smallest_slope <= slope <= bounds.largest_slope:
        return Decision(kind, passed=False, rule="the change is larger than the change plan allows", numbers=numbers)
    events = held_out.labelled().events
    numbers["judged_events"] = events
    if events < bounds.judged_events:
        return Decision(kind, passed=False, rule="insufficient evidence: too few later outcomes to judge it by", numbers=numbers)
    found = compare(champion, proposal.point, held_out)
    numbers |= {"log_loss_difference": found.difference, "upper": found.upper(alpha)}
    if found.upper(alpha) >= 0:
        return Decision(kind, passed=False, rule="it is not surely better on later exams: a tie keeps what is in force", numbers=numbers)
    return Decision(kind, passed=True, rule="better on later exams", numbers=numbers)


def judge_alignment(plan: ChangePlan, champion: OperatingPoint, proposal: OperatingPoint, target: float, held_out: Scores) -> Decision:
    """``target``: the share of exams that the reference flags; ``held_out``: later exams, whose labels are not asked for."""
    kind = ChangeKind.ALIGNMENT
    before, after = flagged_share(held_out, champion), flagged_share(held_out, proposal)
    numbers: Numbers = {"target": target, "flagged_before": before, "flagged_after": after, "judged_exams": len(held_out)}
    if kind not in plan.allowed:
        return Decision(kind, passed=False, rule="the change plan does not allow this kind of change", numbers=numbers)
    if len(held_out) < plan.alignment.exams:
        return Decision(kind, passed=False, rule="insufficient evidence: too few later exams to judge it by", numbers=numbers)
    if abs(after - target) > plan.alignment.recall_band:
        return Decision(kind, passed=False, rule="the share of flagged exams stays outside the band", numbers=numbers)
    if abs(after - target) >= abs(before - target):
        return Decision(kind, passed=False, rule="the share of flagged exams comes no closer to the reference's", numbers=numbers)
    return Decision(kind, passed=True, rule="the share of flagged exams is the reference's again", numbers=numbers)
