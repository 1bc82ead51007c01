"""From what is known of the truth to a better operating point or bank: proposals, the gate that they must pass, and their replay on a history.

Every generator proposes a new release; nothing here changes one that is in force. What may change at all stands in the change plan.
"""

from dosremc_node.recalibration.alignment import align
from dosremc_node.recalibration.calibration import Calibration, calibrate
from dosremc_node.recalibration.change_plan import ChangeKind, ChangePlan, read_change_plan
from dosremc_node.recalibration.comparison import Comparison, compare, flagged_share
from dosremc_node.recalibration.gate import Decision, judge_alignment, judge_calibration
from dosremc_node.recalibration.replay import Replay, replay
from dosremc_node.recalibration.scores import Scores, read_score_table
from dosremc_node.recalibration.verification import expected_over_observed, weighted

__all__ = [
    "Calibration",
    "ChangeKind",
    "ChangePlan",
    "Comparison",
    "Decision",
    "Replay",
    "Scores",
    "align",
    "calibrate",
    "compare",
    "expected_over_observed",
    "flagged_share",
    "judge_alignment",
    "judge_calibration",
    "read_change_plan",
    "read_score_table",
    "replay",
    "weighted",
]
