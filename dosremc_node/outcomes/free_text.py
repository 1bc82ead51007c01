"""What free text says, by rules that the site wrote and by nothing else.

A rule is held against one sentence at a time. Where a word denies or doubts it ("no evidence of", "kein Anhalt für"), a guarded rule reads
nothing there, rather than the opposite.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dosremc_node.outcomes.codes import Organ, Verdict
from dosremc_node.outcomes.site_rules import TextRule, TextRules
from dosremc_node.records import Laterality

_SENTENCE_ENDS = re.compile(r"[\n\r;；。]+|[.?!](?=\s|$)")  # noqa: RUF001 - as Japanese and Chinese write them


@dataclass(frozen=True, slots=True)
class TextReading:
    """What rules found in a text: ``untrusted`` names those whose reading a person has to confirm."""

    verdicts: frozenset[Verdict] = frozenset()
    sides: frozenset[Laterality] = frozenset()
    organs: frozenset[Organ] = frozenset()
    untrusted: tuple[str, ...] = ()


def read_text(text: str, rules: TextRules) -> TextReading:
    """What the site's rules read in a text; nothing where none of them matches."""
    sentences = [each for each in _SENTENCE_ENDS.split(text) if each.strip()]
    found = [rule for rule in rules.rules if any(_reads(rule, sentence, rules) for sentence in sentences)]
    return TextReading(
        frozenset(rule.verdict for rule in found if rule.verdict),
        frozenset[Laterality]().union(*(rule.side.lateralities for rule in found if rule.side)),
        frozenset(rule.organ for rule in found if rule.organ),
        tuple(rule.name for rule in found if not rule.trusted),
    )


def _reads(rule: TextRule, sentence: str, rules: TextRules) -> bool:
    if not rule.pattern.search(sentence) or (rule.unless and rule.unless.search(sentence)):
        return False
    return not (rule.guarded and any(negation.search(sentence) for negation in rules.negations))
