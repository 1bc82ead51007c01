"""From observations to a breast's diagnosis: what is certain is said, everything else is left to a person with the reason why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from dosremc_node.outcomes.codes import Meaning, Organ, Verdict
from dosremc_node.outcomes.free_text import TextReading, read_text
from dosremc_node.outcomes.results import Observation
from dosremc_node.outcomes.site_rules import Question, TextRules
from dosremc_node.outcomes.systems import CodedValue, System
from dosremc_node.outcomes.vocabulary import Vocabulary
from dosremc_node.records import Diagnosis, Laterality

_DIAGNOSES: Final = {
    Verdict.MALIGNANT: Diagnosis.MALIGNANT,
    Verdict.BENIGN: Diagnosis.BENIGN,
    Verdict.NORMAL: Diagnosis.NORMAL,
}
_HIGH_RISK = "a high-risk lesion, which an excision may turn into a cancer"
_ICD_10 = (System.ICD_10, System.ICD_10_CM)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a site knows of its senders: the words, the rules for text, and whether they report on breasts alone."""

    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    text_rules: TextRules = field(default_factory=TextRules)
    breast_only: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What observations of one specimen say. ``is_elsewhere``: of another organ for certain, and so nothing of the breast."""

    diagnosis: Diagnosis | None
    laterality: Laterality | None
    is_elsewhere: bool
    codes: tuple[str, ...]
    review: str


def judge(observations: Sequence[Observation], knowledge: Knowledge) -> Judgement:
    """What the observations of one specimen, or of one group of observations, say of a breast."""
    evidence = _Evidence(observations, knowledge)
    diagnosis, why_no_diagnosis = _diagnosis(evidence)
    laterality, why_no_side = _laterality(evidence)
    why_no_breast = "" if evidence.is_breast else _why_no_breast(evidence.organs)
    reasons = filter(None, (why_no_diagnosis, why_no_side, why_no_breast, _to_confirm(evidence.text)))
    return Judgement(diagnosis if evidence.is_breast else None, laterality, evidence.is_elsewhere, evidence.codes, "; ".join(reasons))


def sides_of(observation: Observation, knowledge: Knowledge) -> frozenset[Laterality]:
    """The side that an observation is of, as far as it is said of itself."""
    return _agreed(_side_levels(observation, knowledge))


class _Evidence:
    """What the observations say, each with its meaning."""

    def __init__(self, observations: Sequence[Observation], knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self.observations = [each for each in observations if each.question is not Question.OTHER]
        self.findings = [each for each in self.observations if each.question is not Question.SITE]

    @cached_property
    def answers(self) -> Sequence[tuple[CodedValue, Meaning | None]]:
        """The codes of what was found. None: nobody knows it."""
        return [(coded, self._meaning(each, coded)) for each in self.findings for coded in each.answers if coded.code]

    def _meaning(self, observation: Observation, coded: CodedValue) -> Meaning | None:
        meaning = self._knowledge.vocabulary.meaning(coded)
        if meaning and meaning.verdict and observation.question is None and self._knowledge.vocabulary.system(coded) in _ICD_10:
            # It may as well be why she came: of a question that nobody knows, only a morphology says what was found.
            return Meaning(Verdict.UNCERTAIN, meaning.sides, meaning.organ)
        return meaning

    @cached_property
    def verdicts(self) -> frozenset[Verdict]:
        return frozenset(meaning.verdict for _, meaning in self.answers if meaning and meaning.verdict)

    @cached_property
    def unknown(self) -> Sequence[str]:
        return [str(coded) for coded, meaning in self.answers if meaning is None]

    @cached_property
    def text(self) -> TextReading:
        diagnoses = (each.text for each in self.findings if each.question is Question.DIAGNOSIS)
        return read_text("\n".join(diagnoses), self._knowledge.text_rules)

    @cached_property
    def has_text(self) -> bool:
        return any(each.text for each in self.findings)

    @cached_property
    def sides(self) -> frozenset[Laterality]:
        levels = [_agreed(_side_levels(each, self._knowledge)) for each in self.observations]
        return _agreed([*levels, self.text.sides])

    @cached_property
    def organs(self) -> frozenset[Organ]:
        sites = (self._knowledge.vocabulary.site(coded) for each in self.observations for coded in _site_codes(each))
        answers = (meaning for _, meaning in self.answers if meaning)
        return self.text.organs | {meaning.organ for meaning in (*sites, *answers) if meaning.organ}

    @property
    def is_breast(self) -> bool:
        return self.organs == {Organ.BREAST} or (not self.organs and self._knowledge.breast_only)

    @property
    def is_elsewhere(self) -> bool:
        """Another organ; or lymph nodes in which nothing was found."""
        harmless = bool(self.verdicts) and self.verdicts <= {Verdict.BENIGN, Verdict.NORMAL} and not self.unknown
        return self.organs == {Organ.OTHER} or (self.organs == {Organ.NODES} and harmless)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes that say something of what was found, or may."""
        return tuple(dict.fromkeys(str(coded) for coded, meaning in self.answers if meaning is None or meaning.verdict))


# --- What was found ---------------------------------------------------------------------------------------------------


def _diagnosis(evidence: _Evidence) -> tuple[Diagnosis | None, str]:
    if Verdict.MALIGNANT in evidence.verdicts:
        return Diagnosis.MALIGNANT, ""
    if Verdict.HIGH_RISK in evidence.verdicts:
        return None, _HIGH_RISK
    if Verdict.UNCERTAIN in evidence.verdicts:
        return None, f"{', '.join(evidence.codes)} does not decide it"
    if evidence.unknown:
        return None, f"nobody has said what {', '.join(evidence.unknown)} means (outcomes.codes_file)"
    if evidence.verdicts:
        return _harmless(evidence)
    return _from_text(evidence)


def _harmless(evidence: _Evidence) -> tuple[Diagnosis | None, str]:
    if evidence.text.verdicts - {Verdict.BENIGN, Verdict.NORMAL}:
        return None, "its codes and its text contradict each other"
    return (Diagnosis.BENIGN if Verdict.BENIGN in evidence.verdicts else Diagnosis.NORMAL), ""


def _from_text(evidence: _Evidence) -> tuple[Diagnosis | None, str]:
    for verdict in Verdict:  # the gravest first
        if verdict in evidence.text.verdicts:
            return _DIAGNOSES.get(verdict), "" if verdict in _DIAGNOSES else f"its text was read as {verdict}"
    if evidence.has_text:
        return None, "it says in words what was found, and no rule reads them"
    if any(each.is_document for each in evidence.observations):
        return None, "it says what was found in an embedded document, which is not read"
    return None, "it does not say what was found"


def _to_confirm(text: TextReading) -> str:
    return f"read from its text by a rule that is not trusted ({', '.join(text.untrusted)})" if text.untrusted else ""


# --- Where ------------------------------------------------------------------------------------------------------------


def _laterality(evidence: _Evidence) -> tuple[Laterality | None, str]:
    if len(evidence.sides) == 1:
        return next(iter(evidence.sides)), ""
    return None, "it names both sides" if evidence.sides else "it does not say which side"


def _why_no_breast(organs: frozenset[Organ]) -> str:
    if Organ.NODES in organs:
        return "it is of lymph nodes or the axilla"
    return "it names another organ beside the breast" if organs else "it does not say that it is of a breast"


def _agreed(levels: Iterable[frozenset[Laterality]]) -> frozenset[Laterality]:
    """The side that is said; both where two are named, or only both. An order for both breasts does not blur what a specimen says."""
    levels = list(levels)
    single = frozenset[Laterality]().union(*(each for each in levels if len(each) == 1))
    return single or frozenset[Laterality]().union(*levels)


def _side_levels(observation: Observation, knowledge: Knowledge) -> Iterator[frozenset[Laterality]]:
    vocabulary = knowledge.vocabulary
    for level in observation.sites:
        yield _union(vocabulary.site(coded) for coded in level)
    if observation.question is Question.SITE:
        yield _union(vocabulary.site(coded) for coded in (*observation.answers, CodedValue(text=observation.text)))
    else:
        yield _union(meaning for coded in observation.answers if (meaning := vocabulary.meaning(coded)))


def _union(meanings: Iterable[Meaning]) -> frozenset[Laterality]:
    return frozenset[Laterality]().union(*(meaning.sides for meaning in meanings))


def _site_codes(observation: Observation) -> Iterator[CodedValue]:
    for level in observation.sites:
        yield from level
    if observation.question is Question.SITE:
        yield from (*observation.answers, CodedValue(text=observation.text))
