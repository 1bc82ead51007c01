"""Which generators a domain calls for now, and what each still waits for. Nothing is computed here that takes long.

Without labels, in days: alignment where a scanner is new or its acquisition has shifted, statistics where a domain has no bank of its own, or
has shifted. With labels, in months: calibration, fine-tuning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from dosremc_node.errors import NodeError, TooFewEvents, TooFewExams
from dosremc_node.recalibration.alignment import SMALLEST_REFERENCE
from dosremc_node.recalibration.candidates import Situation, split_to_align, split_to_measure
from dosremc_node.recalibration.change_plan import ChangeKind
from dosremc_node.recalibration.cohort import Cohort, split_by_events
from dosremc_node.recalibration.scores import Scores

JudgedUntil = Callable[[ChangeKind, str], date | None]
"""Up to which day exams have judged a kind of change of a scanner key (empty: of the domain)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A generator to run, for a scanner key or, empty, the whole domain; ``why_not`` says what it still waits for."""

    kind: ChangeKind
    scanner_key: str
    why_not: str = ""


def wishes(situation: Situation, cohort: Cohort, shifted: Mapping[str, date], judged_until: JudgedUntil) -> Iterator[Wish]:
    """``cohort``: the domain's exams since it scores as it does now. ``shifted``: scanner keys whose acquisition has changed, since which day.

    What the change plan does not allow is not wished for.
    """
    keys = sorted({exam.scanner_key for exam in cohort.exams})
    for key in keys:
        if any(exam.in_shadow for exam in cohort.of_key(key).exams) or key in shifted:
            yield Wish(
                ChangeKind.ALIGNMENT,
                key,
                _waits_to_align(situation, since(cohort.of_key(key), shifted.get(key)), judged_until(ChangeKind.ALIGNMENT, key)),
            )
    if not has_own_bank(situation) or shifted:
        yield Wish(
            ChangeKind.STATISTICS, "", _waits_to_measure(situation, interval_of(cohort, shifted), judged_until(ChangeKind.STATISTICS, ""))
        )
    if situation.is_new:
        return
    plan = situation.plan
    for key in keys:
        needed = (plan.calibration.fitted_events, plan.calibration.judged_events)
        yield Wish(ChangeKind.CALIBRATION, key, _waits_for_outcomes(cohort.of_key(key), needed, judged_until(ChangeKind.CALIBRATION, key)))
    needed = (plan.fine_tuning.fitted_events, plan.fine_tuning.judged_events)
    yield Wish(ChangeKind.FINE_TUNING, "", _waits_for_outcomes(cohort, needed, judged_until(ChangeKind.FINE_TUNING, "")))


def has_own_bank(situation: Situation) -> bool:
    """Whether the domain's bank is no copy of another's."""
    digests = {domain: bank.sha256 for domain, bank in situation.parent.release.banks.items()}
    own = digests.pop(situation.domain, None)
    return own is not None and own not in digests.values()


def since(cohort: Cohort, day: date | None) -> Cohort:
    """The exams from that day on; all where none is named."""
    return cohort if day is None else cohort.taken_since(day)


def interval_of(cohort: Cohort, shifted: Mapping[str, date]) -> Cohort:
    """What statistics are measured on: the exams since the last of the domain's scanners has changed."""
    return since(cohort, max(shifted.values(), default=None))


def _waits_to_align(situation: Situation, cohort: Cohort, judged_until: date | None) -> str:
    lacks = _lacks(situation.reference, SMALLEST_REFERENCE, "reference") or _lacks(cohort, 2 * situation.plan.alignment.exams, "scanner")
    return lacks or _reason(lambda: split_to_align(situation, cohort, judged_until))


def _waits_to_measure(situation: Situation, cohort: Cohort, judged_until: date | None) -> str:
    plan = situation.plan
    lacks = _lacks(situation.reference, SMALLEST_REFERENCE, "reference")
    lacks = lacks or _lacks(cohort, plan.statistics.exams + plan.alignment.exams, "domain")
    if not lacks and has_own_bank(situation) and cohort.scores.events < plan.statistics.judged_events:
        return f"a domain that is shown is judged by outcomes. {TooFewEvents(events=cohort.scores.events, needed=plan.statistics.judged_events)}"
    return lacks or _reason(lambda: split_to_measure(situation, cohort, judged_until))


def _waits_for_outcomes(cohort: Cohort, needed: tuple[int, int], judged_until: date | None) -> str:
    return _reason(lambda: split_by_events(cohort, *needed, judged_until))


def _reason(split: Callable[[], object]) -> str:
    """Why it cannot be split yet; empty where it can."""
    try:
        split()
    except (TooFewEvents, TooFewExams) as error:
        return str(error)
    return ""


def _lacks(there: Cohort | Scores, needed: int, what: str) -> str:
    missing: NodeError | None = TooFewExams(what=what, exams=len(there), needed=needed) if len(there) < needed else None
    return str(missing or "")
