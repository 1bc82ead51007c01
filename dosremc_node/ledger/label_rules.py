"""The rules by which a breast of an exam gets its label, from her other exams and from what was reported of her.

Each breast has its own label, so that a cancer in one says nothing of the other. The first rule that fits decides:

1. *Positive*: a cancer of that breast was found on the day of the exam or later, within maturity, and before she had an exam of the next round;
   also where the report is of this exam, and where it was found within the work-up time. So recall, work-up and biopsy of one cancer may be several
   positive exams. It was *screen-detected* if found within the work-up time, by *random audit* if the lot had the woman called, an *interval* cancer
   if later. What the report itself says of this comes first, for its own exam.
2. *Unknown*: such a cancer was found, and she had an exam of the next round in between. It may have been there to be seen, or not.
3. *Unknown*: a cancer of that breast was found before the exam, within the work-up time: it is being treated.
4. *Pending*: a report that may be of a cancer of that breast within maturity waits for its final version, or for a person.
5. *Confirmed negative*: a report of that breast within maturity says benign (*biopsy benign* within the work-up time) or normal (*random audit*
   for whom the lot had called, else *follow-up*). A cancer that is found later, within maturity, still wins by rule 1.
6. *Pending*: the exam is not mature.
7. *Confirmed negative*, by *follow-up*: it is mature and no cancer was told of. That is believed only where the hospital tells the node of cancers
   found elsewhere too, where some report of anybody has come since (else the hospital may have stopped telling), and where the exam names a patient.
8. *Unknown*: it is mature, and nobody can say.

A later cancer, beyond maturity, does not make an exam positive. A report whose exam or breast is not certain makes nothing positive or negative.

The weight: a mature exam has 1, because the truth of all of them is known. Before that it is known where it was looked for: for certain where
the exam was flagged and shown (1), by lot in the audit arm (one over the probability, clipped at `LARGEST_WEIGHT`). What became known otherwise,
such as an interval cancer after a year, stands for nobody until the exam is mature (0): its like are still pending, and the audit arm stands for
them already (Horvitz and Thompson 1952).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from dosremc_node.records import LARGEST_WEIGHT, Diagnosis, LabelRules, LabelState, Laterality, Provenance, StudyId


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


@dataclass(frozen=True, slots=True)
class Exam:
    """An exam as the rules see it. ``drawn`` is the probability with which the lot of the audit arm fell on it, None where it did not."""

    study_id: StudyId
    taken_on: date
    names_patient: bool = True
    flagged: bool = False
    drawn: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a report says for certain of one breast of its woman."""

    study_id: StudyId
    laterality: Laterality
    diagnosis: Diagnosis
    on: date
    provenance: Provenance | None
    known_at: datetime


@dataclass(frozen=True, slots=True)
class Doubt:
    """A report that may be of a cancer, of either breast and of any day where that is None."""

    laterality: Laterality | None
    on: date | None
    known_at: datetime


@dataclass(frozen=True, slots=True)
class Woman:
    """All of a woman's exams, and what was reported of her."""

    exams: Sequence[Exam]
    reports: Sequence[Report] = ()
    doubts: Sequence[Doubt] = ()


@dataclass(frozen=True, slots=True)
class Calendar:
    """``heard_until`` is when the hospital last told anything, None where it never did."""

    now: datetime
    rules: LabelRules
    heard_until: datetime | None


def label_of(exam: Exam, breast: Laterality, woman: Woman, calendar: Calendar) -> Label:
    """The label of one breast of an exam, by the rules above."""
    hers = sorted((each for each in woman.reports if each.laterality is breast), key=_day)
    cancers = [each for each in hers if each.diagnosis is Diagnosis.MALIGNANT]
    in_time = [each for each in hers if _within(exam, each.on, calendar.rules.maturity)]
    found = next((each for each in in_time if each in cancers), None)
    if found:
        return _with_cancer(exam, found, woman, calendar)
    treated = [each for each in cancers if timedelta(0) < exam.taken_on - each.on <= calendar.rules.work_up]
    if treated:
        return Label(LabelState.UNKNOWN, None, treated[-1].known_at)
    doubts = [each for each in woman.doubts if _may_be_of(exam, breast, each, calendar)]
    if doubts:
        return Label(LabelState.PENDING, None, max(each.known_at for each in doubts))
    return _without_cancer(exam, in_time, calendar) if in_time else _by_silence(exam, calendar)


def _day(report: Report) -> date:
    return report.on


def _within(exam: Exam, day: date, time_after: timedelta) -> bool:
    return timedelta(0) <= day - exam.taken_on <= time_after


def _with_cancer(exam: Exam, found: Report, woman: Woman, calendar: Calendar) -> Label:
    next_round = exam.taken_on + calendar.rules.next_round
    in_between = any(next_round <= each.taken_on <= found.on for each in woman.exams)
    early = _within(exam, found.on, calendar.rules.work_up)
    if in_between and not early and found.study_id != exam.study_id:
        return Label(LabelState.UNKNOWN, None, found.known_at)
    provenance = found.provenance if found.study_id == exam.study_id else None
    if provenance is None:
        called = Provenance.RANDOM_AUDIT if _called(exam) else Provenance.SCREEN_DETECTED
        provenance = called if early else Provenance.INTERVAL
    return Label(LabelState.POSITIVE, provenance, found.known_at, _weight(exam, calendar))


def _called(exam: Exam) -> bool:
    """Whether it was the lot that had her looked at."""
    return exam.drawn is not None and not exam.flagged


def _may_be_of(exam: Exam, breast: Laterality, doubt: Doubt, calendar: Calendar) -> bool:
    return doubt.laterality in (breast, None) and (doubt.on is None or _within(exam, doubt.on, calendar.rules.maturity))


def _without_cancer(exam: Exam, reports: Sequence[Report], calendar: Calendar) -> Label:
    by_biopsy = [each for each in reports if each.diagnosis is Diagnosis.BENIGN and _within(exam, each.on, calendar.rules.work_up)]
    first = (by_biopsy or reports)[0]
    provenance = first.provenance if first.study_id == exam.study_id else None
    if provenance is None:
        looked = Provenance.RANDOM_AUDIT if _called(exam) and _within(exam, first.on, calendar.rules.work_up) else Provenance.FOLLOW_UP
        provenance = Provenance.BIOPSY_BENIGN if by_biopsy else looked
    return Label(LabelState.CONFIRMED_NEGATIVE, provenance, first.known_at, _weight(exam, calendar))


def _weight(exam: Exam, calendar: Calendar) -> float:
    if calendar.now >= _mature_at(exam, calendar) or exam.flagged:
        return 1.0
    return min(1 / exam.drawn, LARGEST_WEIGHT) if exam.drawn else 0.0


def _mature_at(exam: Exam, calendar: Calendar) -> datetime:
    return _midnight(exam.taken_on) + calendar.rules.maturity


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _by_silence(exam: Exam, calendar: Calendar) -> Label:
    mature_at = _mature_at(exam, calendar)
    if calendar.now < mature_at:
        return Label(LabelState.PENDING, None, _midnight(exam.taken_on))
    told = calendar.rules.follow_up_is_complete and calendar.heard_until is not None and calendar.heard_until >= mature_at
    if told and exam.names_patient:
        return Label(LabelState.CONFIRMED_NEGATIVE, Provenance.FOLLOW_UP, mature_at)
    return Label(LabelState.UNKNOWN, None, mature_at)
