"""The report of a proposal: one page for the person who decides, self-contained and without scripts, and the same as JSON."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import jinja2

from dosremc_node.evaluation import (
    Estimate,
    brier,
    calibrated,
    calibrated_logits,
    calibration_intercept,
    calibration_slope,
    expected_over_observed,
    roc_auc_delong,
    sigmoid,
)
from dosremc_node.recalibration.bounds import Change
from dosremc_node.recalibration.change_plan import ChangePlan
from dosremc_node.recalibration.comparison import HeldOut, flagged_share, log_losses
from dosremc_node.recalibration.gate import Decision
from dosremc_node.recalibration.report_pictures import SMALLEST_CLASS, by_exam, pictures_of
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import OperatingPoint


@dataclass(frozen=True, slots=True)
class _Figures:
    """One side on the exams of one scanner. Intercept, slope and expected over observed come first; None where the labels do not allow them."""

    exams: int
    events: int
    flagged_share: float
    intercept: Estimate | None = None
    slope: Estimate | None = None
    expected_over_observed: Estimate | None = None
    log_loss: float | None = None
    brier: float | None = None
    roc_auc: Estimate | None = None
    sensitivity: float | None = None
    specificity: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Reported:
    """What a report is of. ``made_of``: how the change was made, in numbers."""

    proposal_id: str
    window: str
    change: Change
    decision: Decision
    held_out: Mapping[str, HeldOut]
    made_of: Mapping[str, float]
    plan: ChangePlan


def report_files(reported: Reported) -> dict[str, bytes]:
    """``report.html`` and ``report.json``. Figures of exams and images only: nothing of a woman is in them."""
    facts = _facts(reported)
    pictures = {
        key: {name: base64.b64encode(png).decode() for name, png in pictures_of(part).items()} for key, part in reported.held_out.items()
    }
    names = [each.name for each in fields(_Figures)]
    return {
        "report.json": json.dumps(facts, indent=2, default=_plain, allow_nan=False).encode(),
        "report.html": _template().render(facts, pictures=pictures, figures=names).encode(),
    }


def _facts(reported: Reported) -> dict[str, Any]:
    change, plan = reported.change, reported.plan
    scanners = {
        key: {"in force": _figures(part.champion, part.champion_point), "proposed": _figures(part.challenger, part.challenger_point)}
        for key, part in reported.held_out.items()
    }
    return {
        "proposal": reported.proposal_id,
        "kind": change.kind.value,
        "domain": change.domain,
        "scanner_key": change.scanner_key,
        "window": reported.window,
        "parent": change.parent.release.release_id,
        "demonstration": change.parent.release.demonstration,
        "statement": change.parent.release.statement,
        "decision": asdict(reported.decision),
        "selection_rule": _selection_rule(plan),
        "made_of": dict(reported.made_of),
        "operating_points": {key: _points(change, key) for key in change.operating_points},
        "scanners": scanners,
        "change_plan_sha256": plan.sha256,
        "change_plan": plan.model_dump(mode="json"),
    }


def _selection_rule(plan: ChangePlan) -> str:
    return (
        "The challenger is taken only where every rule of the change plan holds and it is surely better on later exams that judged nothing "
        f"before (one-sided, alpha {plan.looks.alpha:g} shared by {plan.looks.planned} looks). A tie keeps what is in force."
    )


def _points(change: Change, key: str) -> dict[str, OperatingPoint | None]:
    before = None if key == change.domain and change.is_new else change.champion(key)
    return {"in force": before, "proposed": change.operating_points[key]}


def _figures(scores: Scores, point: OperatingPoint) -> _Figures:
    labelled = scores.labelled()
    always = _Figures(len(scores), labelled.events, flagged_share(scores, point))
    highest, malignant = by_exam(scores, point)
    if min(int(malignant.sum()), int((~malignant).sum())) < SMALLEST_CLASS:
        return always
    logits, probabilities = calibrated_logits(labelled.logits, point), calibrated(labelled.logits, point)
    flagged = sigmoid(highest) >= point.threshold
    return _Figures(
        exams=always.exams,
        events=always.events,
        flagged_share=always.flagged_share,
        intercept=_finite(calibration_intercept(logits, labelled.malignant)),
        slope=_finite(calibration_slope(logits, labelled.malignant)),
        expected_over_observed=_finite(expected_over_observed(probabilities, labelled.malignant)),
        log_loss=float(log_losses(labelled, point).mean()),
        brier=brier(probabilities, labelled.malignant),
        roc_auc=roc_auc_delong(highest, malignant),
        sensitivity=float(flagged[malignant].mean()),
        specificity=float((~flagged)[~malignant].mean()),
    )


def _finite(estimate: Estimate) -> Estimate | None:
    """An estimate that JSON can say: the slope of scores that part both kinds without fault has none."""
    return estimate if all(map(math.isfinite, (estimate.value, estimate.low, estimate.high))) else None


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} cannot stand in a report")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8"))
