"""Tables and words, made from the numbers alone: what is written can say nothing that they do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dosremc_node.evaluation import Estimate
from dosremc_node.network.science.hypotheses import Claim, Finding, Sameness, Verdict
from dosremc_node.network.science.measuring import Quantity
from dosremc_node.network.science.table import Entry

SIMULATED = "Every figure here is of simulated images: it says how methods compare under a known shift, and nothing about patients."


def hypotheses_text(verdicts: Sequence[Verdict], rule: str, facts: Sequence[str] = ()) -> str:
    """hypotheses.md: each hypothesis, whether it held, and the numbers that decided."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in (*rule.split("\n\n"), *facts)]
    lines = ["# What held, and what did not", "", SIMULATED, ""]
    lines += [line for paragraph in paragraphs for line in (paragraph, "")]
    lines += [f"{place}. **{verdict.words}**: {verdict.hypothesis.says}" for place, verdict in enumerate(verdicts, start=1)]
    for place, verdict in enumerate(verdicts, start=1):
        lines += ["", f"## {place}. {verdict.hypothesis.says}", "", f"**It {verdict.words}**: p after Holm {_p(verdict.p_holm)}.", ""]
        lines += [f"- {'Holds' if verdict.holds(finding) else 'Does not hold'}: {sentence(finding)}" for finding in verdict.findings]
    return "\n".join(lines) + "\n"


def sentence(finding: Finding) -> str:
    """What was found of one claim."""
    claim = finding.claim
    if isinstance(claim, Sameness):
        return f"{claim.says}; {finding.differing:,} of {finding.compared:,} scores differ."
    if finding.quantity is None:
        raise ValueError("a claim that was judged has numbers")
    return f"{claim.says}, {claim.figure}: {_numbers(finding.quantity, claim)}, p {_p(finding.p)}."


def _numbers(quantity: Quantity, claim: Claim) -> str:
    asked = f"further from 0 than {claim.bound:g}" if claim.either_way else f"above {claim.bound:g}"
    reached = np.abs(quantity.by_seed) if claim.either_way else quantity.by_seed
    return f"{signed(quantity.judged.estimate)}; it should be {asked}, and is in {np.sum(reached > claim.bound)} of {len(reached)} seeds"


def signed(estimate: Estimate) -> str:
    """A difference with its interval."""
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"


def table_text(entries: Sequence[Entry], vendors: Sequence[str]) -> str:
    """table.md: a table for each level, ROC and PR AUC on the target with what became of source and unseen vendors."""
    lines = ["# The table", "", SIMULATED, ""]
    for level in ("breast", "image"):
        own = [entry for entry in entries if entry["level"] == level]
        lines += [f"## Per {level}", "", *_summary(own), ""]
        for source in vendors:
            for target in vendors:
                lines += _pair(own, source, target)
    return "\n".join(lines) + "\n"


COLUMNS = (
    ("ROC AUC", "roc_auc"), ("PR AUC", "pr_auc"), ("less unadapted", "roc_auc_above_unadapted"),
    ("ROC AUC on the source", "roc_auc_on_source"), ("ROC AUC on unseen vendors", "roc_auc_on_unseen"),
)  # fmt: skip


def _pair(entries: Sequence[Entry], source: str, target: str) -> list[str]:
    found = [entry for entry in entries if (entry["source"], entry["target"]) == (source, target)]
    if not found:
        return []
    title = f"### {source} in its domain" if source == target else f"### From {source} to {target}"
    head = ["method", *(name for name, _ in COLUMNS), "sensitivity / specificity, own threshold", "with the source's threshold",
            "expected / observed", "slope", "Brier", "seconds"]  # fmt: skip
    return [title, "", _line(head), _line(["---"] * len(head)), *(_line(_cells(entry)) for entry in found), ""]


def _cells(entry: Entry) -> list[str]:
    calibration = entry["carried_calibration"]
    return [
        f"`{entry['method']}` {entry['title']}",
        *(_figure(entry.get(key)) for _, key in COLUMNS),
        *(f"{_number(entry[key]['sensitivity'])} / {_number(entry[key]['specificity'])}" for key in ("own_threshold", "carried_threshold")),
        *(_number(calibration[key]) for key in ("expected_over_observed", "slope", "brier")),
        f"{entry['seconds']:.1f}",
    ]


def _summary(entries: Sequence[Entry]) -> list[str]:
    """Each method's mean over the ordered pairs of vendors, without intervals: the text of the hypotheses has those that matter."""
    across = [entry for entry in entries if entry["source"] != entry["target"]]
    head = ["method", "pairs", "ROC AUC", "PR AUC", "on the source", "on unseen vendors"]
    lines = ["Means over all ordered pairs of vendors:", "", _line(head), _line(["---"] * len(head))]
    for method in dict.fromkeys(entry["method"] for entry in across):
        own = [entry for entry in across if entry["method"] == method]
        keys = ("roc_auc", "pr_auc", "roc_auc_on_source", "roc_auc_on_unseen")
        lines.append(_line([f"`{method}` {own[0]['title']}", str(len(own)), *(_mean(own, key) for key in keys)]))
    return lines


def _mean(entries: Sequence[Entry], key: str) -> str:
    values = [entry[key]["value"] for entry in entries if key in entry]
    return f"{sum(values) / len(values):.3f}" if values else ""


def _figure(found: Entry | None) -> str:
    return "" if found is None else f"{_number(found)} ({found['low']:.3f} to {found['high']:.3f})"


def _number(found: Entry) -> str:
    return "none" if found["value"] is None else f"{found['value']:.3f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
