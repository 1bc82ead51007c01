"""The hypotheses, and the rule by which each is decided. All of it was written down before the table was computed.

A claim compares figures per breast, each the mean over all ordered pairs of vendors and over all seeds, on the same cases in the same
seeds; its p value is that of "the difference is not beyond the bound". A claim of sameness holds where every score of every seed and pair
is the same to the last bit. A hypothesis stands on all of its claims: its p value is their largest (an intersection-union test), and it
held where that is below 0.05 after Holm's correction over all hypotheses. It held in part where it did not hold, but a claim of it would
stand alone, with a p value below 0.05 divided by the number of hypotheses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations

import numpy as np

from dosremc_node.evaluation import holm, weighted_roc_auc
from dosremc_node.network.science.measuring import UNADAPTED, Measures, Quantity, Transfer, mean, sensitivity_at_zero, specificity_at_zero
from dosremc_node.network.science.presets import Preset

LEVEL_OF_SIGNIFICANCE = 0.05
WORTH_ADAPTING = 0.05
CLOSE = 0.02
HARM = 0.02
COLLAPSE = 0.05
THRESHOLD_MOVED = 0.02


class On(StrEnum):
    """Whose test cases are scored."""

    TARGET = "the target"
    SOURCE = "the source"
    UNSEEN = "the unseen vendors"
    OWN = "the target, by the network trained there"
    """A row that is measured in its domain, with the target as its source."""


class Figure(StrEnum):
    """What is compared. The last two are at the threshold that came with the network from its source."""

    ROC_AUC = "ROC AUC"
    SENSITIVITY = "sensitivity at the source's threshold"
    SPECIFICITY = "specificity at the source's threshold"


@dataclass(frozen=True, slots=True)
class Term:
    """So many times the figure of a row."""

    factor: float
    row: str
    on: On = On.TARGET


@dataclass(frozen=True, slots=True)
class Claim:
    """The terms' sum is above ``bound``; with ``either_way`` it is further from 0 than that, in any direction."""

    says: str
    terms: tuple[Term, ...]
    bound: float = 0.0
    figure: Figure = Figure.ROC_AUC
    either_way: bool = False


@dataclass(frozen=True, slots=True)
class Sameness:
    """Two rows give the same scores, to the last bit."""

    says: str
    row: str
    as_row: str
    on: tuple[On, ...]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What is said, and the claims that it stands on."""

    says: str
    claims: tuple[Claim | Sameness, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a claim. ``quantity`` is None where it is one of sameness: then ``differing`` of ``compared`` scores are not the same."""

    claim: Claim | Sameness
    p: float
    quantity: Quantity | None = None
    differing: int = 0
    compared: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a hypothesis. ``among``: how many there are."""

    hypothesis: Hypothesis
    findings: tuple[Finding, ...]
    p_holm: float
    among: int

    @property
    def held(self) -> bool:
        return self.p_holm < LEVEL_OF_SIGNIFICANCE

    def holds(self, finding: Finding) -> bool:
        """Whether one of its claims does."""
        return self.held or finding.p * self.among < LEVEL_OF_SIGNIFICANCE

    @property
    def words(self) -> str:
        if self.held:
            return "held"
        return "held in part" if any(self.holds(finding) for finding in self.findings) else "did not hold"


def difference(more: str, less: str, on: On = On.TARGET) -> tuple[Term, ...]:
    """One row less another."""
    return (Term(1, more, on), Term(-1, less, on))


def hypotheses(preset: Preset) -> tuple[Hypothesis, ...]:
    """The eight hypotheses, with the budgets of a preset."""
    few, some, many = preset.statistics
    statistics, best_statistics = f"adabn_{some}", f"adabn_{many}"
    bnfc, full, banks = f"bnfc_{preset.many}", f"full_{preset.many}", f"domain_banks_{preset.many}"
    opposed, tent = f"dann_bnfc_{preset.many}", f"tent_{many}_screening"
    del few
    return (
        Hypothesis("Adaptation across vendors is needed.", (
            Claim("a network trained on the target, less one trained on another vendor and not adapted",
                  (Term(1, UNADAPTED, On.OWN), Term(-1, UNADAPTED)), WORTH_ADAPTING),
        )),
        Hypothesis("Batch statistics cost AUC in domain.", (
            Claim("own statistics less those of batches of 8, half of the images malignant, in domain",
                  difference(UNADAPTED, "batch_statistics_8", On.OWN)),
            Claim("own statistics less those of batches of 8 at screening prevalence, in domain",
                  difference(UNADAPTED, "batch_statistics_8_screening", On.OWN)),
        )),
        Hypothesis(f"{some} unlabelled images bring most of what statistics can.", (
            Claim(f"statistics of {many} images of the target, less the source's", difference(best_statistics, UNADAPTED)),
            Claim(f"the gain from {some} images, less half of the gain from {many}",
                  (Term(1, statistics), Term(-0.5, best_statistics), Term(-0.5, UNADAPTED))),
        )),
        Hypothesis("BNFC comes close to full fine-tuning with 1 % of the parameters.", tuple(
            Claim(f"BNFC less full fine-tuning, {labels} labelled images each", difference(f"bnfc_{labels}", f"full_{labels}"), -CLOSE)
            for labels in (preset.few, preset.many)
        )),
        Hypothesis(
            "A network adapted to one vendor forgets its source and harms a third; a bank per domain does not, bit for bit.", (
            Claim("on the source, the network before less after BNFC", difference(UNADAPTED, bnfc, On.SOURCE), HARM),
            Claim("on the source, the network before less after full fine-tuning", difference(UNADAPTED, full, On.SOURCE), HARM),
            Claim("on unseen vendors, the network before less after BNFC", difference(UNADAPTED, bnfc, On.UNSEEN), HARM),
            Claim("on unseen vendors, the network before less after full fine-tuning", difference(UNADAPTED, full, On.UNSEEN), HARM),
            Sameness("with a bank per domain, scores of the source and of unseen vendors are those before adaptation",
                     banks, UNADAPTED, (On.SOURCE, On.UNSEEN)),
        )),
        Hypothesis("Adversarial BNFC holds on an unseen vendor.", (
            Claim("on unseen vendors, adversarial BNFC less the network before", difference(opposed, UNADAPTED, On.UNSEEN), -CLOSE),
            Claim("on unseen vendors, adversarial BNFC less BNFC", difference(opposed, bnfc, On.UNSEEN)),
        )),
        Hypothesis("Statistics from an enriched or recalled-only sample mislead.", tuple(
            claim
            for kind, words in (("enriched", "half malignant"), ("recalled", "recalled women alone"))
            for claim in (
                Claim(f"statistics of {some} screened images, less those of {some} images, {words}",
                      difference(statistics, f"{statistics}_{kind}")),
                Claim(f"statistics of {some} screened images, less those of {some} images, {words}",
                      difference(statistics, f"{statistics}_{kind}"), THRESHOLD_MOVED, Figure.SPECIFICITY, either_way=True),
            )
        )),
        Hypothesis("TENT collapses at screening prevalence.", tuple(
            Claim(f"the statistics of {many} screened images, less TENT on the same images with those statistics",
                  difference(best_statistics, tent), COLLAPSE, figure)
            for figure in (Figure.ROC_AUC, Figure.SENSITIVITY)
        )),
    )  # fmt: skip


def decide(measures: Measures, all_hypotheses: Sequence[Hypothesis]) -> list[Verdict]:
    """Decide them all together."""
    found = [tuple(_found(measures, claim) for claim in hypothesis.claims) for hypothesis in all_hypotheses]
    adjusted = holm([max(finding.p for finding in findings) for findings in found])
    return [Verdict(*parts, len(all_hypotheses)) for parts in zip(all_hypotheses, found, adjusted, strict=True)]


def _found(measures: Measures, claim: Claim | Sameness) -> Finding:
    return _compared(measures, claim) if isinstance(claim, Sameness) else _judged(measures, claim)


def _judged(measures: Measures, claim: Claim) -> Finding:
    pairs = list(permutations(measures.vendors, 2))
    terms = [mean([_quantity(measures, term, claim.figure, *pair) for pair in pairs]).times(term.factor) for term in claim.terms]
    total = mean(terms).times(len(terms))
    if not claim.either_way:
        return Finding(claim, total.p_above(claim.bound), total)
    away = total if total.value >= 0 else total.times(-1)
    return Finding(claim, min(1.0, 2 * away.p_above(claim.bound)), total)


def _quantity(measures: Measures, term: Term, figure: Figure, source: str, target: str) -> Quantity:
    transfer = Transfer(term.row, target if term.on is On.OWN else source, target)
    return mean([_on(measures, transfer, scored, figure) for scored in scored_vendors(measures.vendors, term.on, source, target)])


def scored_vendors(vendors: Sequence[str], on: On, source: str, target: str) -> list[str]:
    """Whose test cases a term is about."""
    if on is On.UNSEEN:
        return [vendor for vendor in vendors if vendor not in {source, target}]
    return [source if on is On.SOURCE else target]


def _on(measures: Measures, transfer: Transfer, scored: str, figure: Figure) -> Quantity:
    scores = measures.test_scores(transfer, scored)
    if figure is Figure.ROC_AUC:
        return measures.quantity(weighted_roc_auc, scores, scored)
    thresholds = measures.carried_thresholds(transfer.source)
    shifted = [values - threshold for values, threshold in zip(scores, thresholds, strict=True)]
    return measures.quantity(sensitivity_at_zero if figure is Figure.SENSITIVITY else specificity_at_zero, shifted, scored)


def _compared(measures: Measures, claim: Sameness) -> Finding:
    differing = compared = 0
    for source, target in permutations(measures.vendors, 2):
        for scored in (vendor for on in claim.on for vendor in scored_vendors(measures.vendors, on, source, target)):
            for seed in range(measures.seeds):
                one, other = (measures.scores(Transfer(row, source, target), seed)[scored] for row in (claim.row, claim.as_row))
                differing += int(np.sum(one != other))
                compared += len(one)
    return Finding(claim, p=0.0 if compared > 0 and differing == 0 else 1.0, differing=differing, compared=compared)
