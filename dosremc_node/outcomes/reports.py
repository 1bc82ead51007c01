"""From a result to reports of breasts: one for each specimen or group of observations, and within it for each side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from dosremc_node.outcomes.judging import Judgement, Knowledge, judge, sides_of
from dosremc_node.outcomes.results import Observation, Result
from dosremc_node.outcomes.site_rules import Question
from dosremc_node.records import Diagnosis, Laterality, OutcomeReport, OutcomeStatus, Provenance

_MOST_TEXT = 20_000
_NOT_SAID = "it does not say whether it is final"


@dataclass(frozen=True, slots=True)
class _Group:
    """Observations of one specimen and side, under the identifier that its later versions have too."""

    identifier: str
    observations: Sequence[Observation]
    is_whole: bool
    """Named by no part: what is said of the result as a whole."""


def reports_of(result: Result, knowledge: Knowledge) -> Sequence[OutcomeReport]:
    """What a result says, breast by breast; nothing where it is of other organs."""
    groups = [group for part in _parts(result).values() for group in _by_side(result, part, knowledge)]
    judged = [(group, judge(_standing(group), knowledge)) for group in groups if _has_finding(group)]
    some_part_is_read = any(not group.is_whole and group.observations for group, _ in judged)
    return [
        report
        for group, judgement in judged
        # Words on the whole, beside parts that are reported one by one, are repeated there or say nothing.
        if not (group.is_whole and some_part_is_read and not judgement.codes and judgement.diagnosis is None)
        if (report := _report(result, group, judgement))
    ]


def _parts(result: Result) -> Mapping[str, Sequence[Observation]]:
    parts: dict[str, list[Observation]] = {}
    for observation in result.observations:
        parts.setdefault(observation.part, []).append(observation)
    return parts


def _by_side(result: Result, part: Sequence[Observation], knowledge: Knowledge) -> Iterator[_Group]:
    """A part by its sides, where what was found in it is said of each side by itself; what is said of the site goes with each."""
    findings = [each for each in part if each.question not in (Question.SITE, Question.OTHER)]
    sides: dict[frozenset[Laterality], list[Observation]] = {}
    for each in findings:
        sides.setdefault(sides_of(each, knowledge), []).append(each)
    name = "/".join(filter(None, (result.number, part[0].part)))
    if len([side for side in sides if len(side) == 1]) < 2:
        yield _Group(name, part, not part[0].part)
        return
    for index, group in enumerate(sides.values()):
        # The first side keeps the name of the whole, so that a version with one side alone replaces it.
        yield _Group(f"{name}#{group[0].number}" if index else name, group, is_whole=False)


def _has_finding(group: _Group) -> bool:
    return any(
        each.question is Question.DIAGNOSIS
        or each.is_document
        or (each.question is None and (each.answers or each.text or each.status is OutcomeStatus.WITHDRAWN))
        for each in group.observations
    )


def _standing(group: _Group) -> Sequence[Observation]:
    """What is not withdrawn; of what is left, corrected observations may be the only ones that were sent again."""
    return [each for each in group.observations if each.status is not OutcomeStatus.WITHDRAWN]


def _report(result: Result, group: _Group, judgement: Judgement) -> OutcomeReport | None:
    status = _status(group)
    if judgement.is_elsewhere:
        if status is not OutcomeStatus.CORRECTED:
            return None
        # It was of a breast, perhaps, before it was corrected.
        status = OutcomeStatus.WITHDRAWN
    withdrawn = status is OutcomeStatus.WITHDRAWN
    diagnosis = None if withdrawn else judgement.diagnosis
    reasons = (judgement.review, "" if status else _NOT_SAID)
    return OutcomeReport(
        source=result.source,
        identifier=group.identifier,
        status=status or OutcomeStatus.FINAL,
        patient=result.patient,
        accession_number=result.accession_number,
        laterality=judgement.laterality,
        diagnosis=diagnosis,
        examined_on=_examined_on(group),
        codes=() if withdrawn else judgement.codes,
        text=_text(group),
        provenance=Provenance.BIOPSY_BENIGN if diagnosis is Diagnosis.BENIGN else None,
        review="" if withdrawn else "; ".join(filter(None, reasons)),
        issued_at=result.issued_at,
    )


def _status(group: _Group) -> OutcomeStatus | None:
    """Of a group: withdrawn where all of it is, corrected where part of it is corrected or withdrawn, preliminary where any finding is."""
    findings = [each for each in group.observations if each.question is not Question.OTHER]
    found = {each.status for each in findings if each.question is not Question.SITE} or {each.status for each in findings}
    if found == {OutcomeStatus.WITHDRAWN}:
        return OutcomeStatus.WITHDRAWN
    if OutcomeStatus.PRELIMINARY in found:
        return OutcomeStatus.PRELIMINARY
    if found & {OutcomeStatus.CORRECTED, OutcomeStatus.WITHDRAWN}:
        return OutcomeStatus.CORRECTED
    return None if None in found else OutcomeStatus.FINAL


def _examined_on(group: _Group) -> date | None:
    return next((each.taken_on for each in group.observations if each.taken_on), None)


def _text(group: _Group) -> str:
    """What a person will want to read: all the words, and those of the codes."""
    lines = (line for each in _standing(group) for line in (each.text, *(coded.text for coded in each.answers)))
    return "\n".join(dict.fromkeys(line for line in lines if line))[:_MOST_TEXT]
