"""What moved: the women, or the way in which they are imaged? Scores alone cannot tell.

More cancers, other ages or other views change the scores of a scanner that is well, and aligning them would hide it. New processing changes
what goes into the network, and with it the scores of the same women. So both are asked, and where the answers do not part, it is an alert.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dosremc_node.drift.distances import ks_distance, population_stability_index, weighted_ks_distance
from dosremc_node.drift.mix import mixes_differ, weights_for_ages_of
from dosremc_node.drift.moments import traces_differ
from dosremc_node.drift.period import Period

FEWEST_EXAMS = 100
FEWEST_TRACES = 12
FEWEST_AGES = 0.8
"""The share of exams whose age is known, at least, for the ages to be compared."""
MOVED = 0.001
"""p of the scores, below which they have moved; small, because a scanner is looked at often."""
DIFFERENT = 0.01
"""p of ages, views and traces: larger, because what is missed here would be taken for the other cause."""


class VerdictKind(StrEnum):
    """What is to be done: nothing, an alignment may be proposed, nothing (the scanner is well), a person is to look, or wait."""

    WELL = "well"
    ACQUISITION = "acquisition"
    CASE_MIX = "case mix"
    AMBIGUOUS = "ambiguous"
    TOO_FEW = "too few"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``why`` is a sentence for people, ``numbers`` what it was told from."""

    kind: VerdictKind
    why: str
    numbers: Mapping[str, float]


def verdict(reference: Period, recent: Period, *, same_key: bool = True, alarmed: bool = False) -> Verdict:
    """Tell what moved between two periods.

    ``same_key`` False: the reference is another scanner's of the domain, so the imaging differs for certain, and only the women are to be
    asked after. ``alarmed``: a chart over all exams says that the scores moved, whatever the recent ones show alone.
    """
    numbers = {"exams": float(len(recent)), "reference_exams": float(len(reference))}
    if len(recent) < FEWEST_EXAMS:
        return Verdict(VerdictKind.TOO_FEW, f"{len(recent)} exams; {FEWEST_EXAMS} are needed", numbers)
    numbers |= _scores(reference, recent) | _women(reference, recent) | _imaging(reference, recent)
    women, imaging = _women_moved(numbers), True if not same_key else _imaging_moved(numbers)
    if not (alarmed or _moved(numbers)):
        return _scores_stand(numbers, imaging=imaging and same_key)
    return Verdict(*_scores_moved(numbers, women, imaging, same_key=same_key), numbers)


def _moved(numbers: Mapping[str, float]) -> bool:
    """Also where the ages hide it: older women whose scores are those of younger ones were not well scored."""
    hidden = numbers.get("ages_p", 1.0) < DIFFERENT and numbers.get("ks_p_at_equal_ages", 1.0) < MOVED
    return numbers["ks_p"] < MOVED or hidden


def _scores_stand(numbers: Mapping[str, float], *, imaging: bool | None) -> Verdict:
    if imaging:
        why = "what goes into the network has changed, its scores have not yet"
        return Verdict(VerdictKind.AMBIGUOUS, why, numbers)
    return Verdict(VerdictKind.WELL, "the scores are those of the reference", numbers)


def _scores_moved(numbers: Mapping[str, float], women: bool | None, imaging: bool | None, *, same_key: bool) -> tuple[VerdictKind, str]:
    at_equal_ages = numbers.get("ks_p_at_equal_ages", 0.0)
    if women and not (imaging and same_key) and at_equal_ages >= DIFFERENT:
        return VerdictKind.CASE_MIX, "the scores moved with the women's ages, and at equal ages they are those of the reference"
    if women is None:
        return VerdictKind.AMBIGUOUS, "the scores moved, and too few ages are known to say whether the women are the same"
    if women:
        return VerdictKind.AMBIGUOUS, "the scores moved, and ages or views are not those of the reference"
    if imaging is None:
        return (
            VerdictKind.AMBIGUOUS,
            "the scores moved, the women are the same, and too few images were measured to say whether the imaging is",
        )
    if not imaging:
        return VerdictKind.AMBIGUOUS, "the scores moved, and neither the women nor what goes into the network has: more cancers, perhaps"
    what = "what goes into the network has changed" if same_key else "this scanner is not the reference's"
    return VerdictKind.ACQUISITION, f"the scores moved, the women are the same, and {what}"


# --- What is asked ----------------------------------------------------------------------------------------------------


def _scores(reference: Period, recent: Period) -> dict[str, float]:
    one, other = reference.scores.logits, recent.scores.logits
    gap, p = ks_distance(one, other)
    flagged = {"flagged": float(recent.scores.flagged.mean()), "reference_flagged": float(reference.scores.flagged.mean())}
    return {"psi": population_stability_index(one, other), "ks": gap, "ks_p": p, **flagged}


def _women(reference: Period, recent: Period) -> dict[str, float]:
    known = {"ages_known": min(float(np.mean(~np.isnan(each.ages))) for each in (reference, recent))}
    known["views_p"] = mixes_differ(reference.views, recent.views)
    if known["ages_known"] < FEWEST_AGES:
        return known
    one, other = (each.ages[~np.isnan(each.ages)] for each in (reference, recent))
    known["ages_p"] = ks_distance(one, other)[1]
    weights = weights_for_ages_of(reference.ages, recent.ages)
    known["ks_p_at_equal_ages"] = weighted_ks_distance(reference.scores.logits, recent.scores.logits, weights)[1] if weights.any() else 0.0
    return known


def _imaging(reference: Period, recent: Period) -> dict[str, float]:
    fewest = min(len(reference.traces), len(recent.traces))
    if fewest < FEWEST_TRACES or reference.traces.layers != recent.traces.layers:
        return {"images_measured": float(fewest)}
    return {"images_measured": float(fewest), "moments_p": traces_differ(reference.traces, recent.traces)}


def _women_moved(numbers: Mapping[str, float]) -> bool | None:
    """None where it cannot be told."""
    if numbers["views_p"] < DIFFERENT:
        return True
    return numbers["ages_p"] < DIFFERENT if "ages_p" in numbers else None


def _imaging_moved(numbers: Mapping[str, float]) -> bool | None:
    return numbers["moments_p"] < DIFFERENT if "moments_p" in numbers else None
