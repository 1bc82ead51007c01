"""What a bank must pass: not worse on its domain and on any of its scanners, surely better, and flagging no more than it may.

Each requirement must hold by itself, so the chance that a worse bank passes is no larger than that of the hardest one (an intersection-union
test, Berger 1982): only looks are paid for, by the alpha of the one test that says "better".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from dosremc_node.recalibration.bounds import Change, outside
from dosremc_node.recalibration.change_plan import ChangeKind, ChangePlan
from dosremc_node.recalibration.comparison import HeldOut, compare_areas, compare_log_loss
from dosremc_node.recalibration.gate import Decision, Numbers


def judge_bank(plan: ChangePlan, change: Change, held_out: Mapping[str, HeldOut], alpha: float, target: float | None = None) -> Decision:
    """By outcomes. ``held_out`` by scanner key: later exams that no look has used, of which only those with a known truth are compared.

    ``alpha`` is what the look may spend. ``target``: the share of exams that are to be flagged, each scanner's present one where None. A domain
    that has no bank of its own yet, and too few outcomes, is judged by `judge_onboarding` instead.
    """
    numbers: Numbers = {"alpha": alpha}
    for rule in _broken(plan, change, held_out, alpha, target, numbers):
        return Decision(change.kind, passed=False, rule=rule, numbers=numbers)
    return Decision(change.kind, passed=True, rule="better on later exams, and not worse on any scanner", numbers=numbers)


def judge_onboarding(plan: ChangePlan, change: Change, held_out: Mapping[str, HeldOut], target: float) -> Decision:
    """Without outcomes, of a domain that has no bank of its own: what it would flag comes to ``target``."""
    numbers: Numbers = {"target": target}
    for rule in _broken_without_outcomes(plan, change, held_out, target, numbers):
        return Decision(change.kind, passed=False, rule=rule, numbers=numbers)
    return Decision(change.kind, passed=True, rule="it flags as many as the reference: judged without outcomes", numbers=numbers)


def _broken(  # noqa: PLR0917
    plan: ChangePlan, change: Change, held_out: Mapping[str, HeldOut], alpha: float, target: float | None, numbers: Numbers
) -> Iterator[str]:
    """The rules that do not hold, in their order; ``numbers`` grow by what was found on the way."""
    yield from _outside(plan, change, numbers)
    parts = [part for part in held_out.values() if part.champion.known.any()]
    numbers["judged_events"] = events = sum(part.champion.labelled().events for part in parts)
    numbers["judged_exams"] = exams = sum(len(part.champion.labelled()) for part in parts)
    needed = (plan.statistics if change.kind is ChangeKind.STATISTICS else plan.fine_tuning).judged_events
    if events < needed or exams - events < needed:
        numbers["needed_events"] = needed
        yield "insufficient evidence: refused, too few later outcomes to judge it by"
        return
    yield from _inferior(plan, parts, numbers)
    yield from _worse_somewhere(plan, held_out, needed, numbers)
    yield from _outside_band(plan, held_out, target, numbers)
    numbers["upper_of_better"] = upper = compare_log_loss(parts).upper(alpha)
    if not upper < 0:
        yield "it is not surely better on later exams: a tie keeps what is in force"


def _outside(plan: ChangePlan, change: Change, numbers: Numbers) -> Iterator[str]:
    rule, measured = outside(plan, change)
    numbers |= measured
    if rule:
        yield rule


def _inferior(plan: ChangePlan, parts: list[HeldOut], numbers: Numbers) -> Iterator[str]:
    """On the whole domain: first whether the exams could tell at all."""
    rules = plan.non_inferiority
    loss, area = compare_log_loss(parts), compare_areas(parts)
    numbers |= {
        "log_loss_difference": loss.difference,
        "log_loss_upper": loss.upper(rules.alpha),
        "log_loss_margin": rules.log_loss_margin,
        "log_loss_power": loss.power(rules.log_loss_margin, rules.alpha),
        "auc_difference": area.difference,
        "auc_lower": area.lower(rules.alpha),
        "auc_margin": rules.auc_margin,
        "auc_power": area.power(rules.auc_margin, rules.alpha),
    }
    for what, power in (("log loss", numbers["log_loss_power"]), ("ROC area", numbers["auc_power"])):
        if power < rules.power:
            yield f"insufficient evidence: refused, the exams could not show the margin in {what} (power {power:.2f})"
    if not loss.upper(rules.alpha) < rules.log_loss_margin:
        yield "not shown to be no worse in log loss on the domain"
    if not area.lower(rules.alpha) > -rules.auc_margin:
        yield "not shown to be no worse in ROC area on the domain"


def _worse_somewhere(plan: ChangePlan, held_out: Mapping[str, HeldOut], needed: int, numbers: Numbers) -> Iterator[str]:
    """Scanner by scanner: with events enough it must be shown to be no worse, with fewer it must not look worse."""
    rules = plan.non_inferiority
    for key, part in held_out.items():
        if not part.champion.known.any():
            continue
        found = compare_log_loss([part])
        numbers[f"log_loss_difference [{key}]"] = found.difference
        enough = found.events >= needed
        if (found.upper(rules.alpha) if enough else found.difference) >= rules.log_loss_margin:
            yield f"worse on {key}"


def _outside_band(plan: ChangePlan, held_out: Mapping[str, HeldOut], target: float | None, numbers: Numbers) -> Iterator[str]:
    for key, part in held_out.items():
        meant = part.champion_share if target is None else target
        numbers |= {f"flagged_before [{key}]": part.champion_share, f"flagged_after [{key}]": part.challenger_share}
        # A scanner with few exams cannot hold a band that is narrower than its own chance.
        chance = 2 * float(np.sqrt(meant * (1 - meant) / max(len(part.champion), 1)))
        if abs(part.challenger_share - meant) > max(plan.guard.recall_band, chance):
            yield f"the share of flagged exams leaves the band on {key}"


def _broken_without_outcomes(
    plan: ChangePlan, change: Change, held_out: Mapping[str, HeldOut], target: float, numbers: Numbers
) -> Iterator[str]:
    yield from _outside(plan, change, numbers)
    if not change.is_on_loan:
        yield "insufficient evidence: refused, a domain with a bank of its own is judged by outcomes"
    exams = [len(part.champion) for part in held_out.values()]
    numbers["judged_exams"] = sum(exams)
    if sum(exams) < plan.alignment.exams:
        yield "insufficient evidence: refused, too few later exams to judge it by"
        return
    before, after = (
        float(np.average(shares, weights=exams))
        for shares in ([part.champion_share for part in held_out.values()], [part.challenger_share for part in held_out.values()])
    )
    numbers |= {"flagged_before": before, "flagged_after": after}
    yield from _outside_band(plan, held_out, target, numbers)
    if abs(after - target) > plan.guard.recall_band:
        yield "the share of flagged exams stays outside the band"
