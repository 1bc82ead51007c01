"""What a change is, and whether it lies in the change plan's bounds: asked by the gate, and again of the files at promotion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dosremc_node.recalibration.change_plan import ChangeKind, ChangePlan
from dosremc_node.records import Domain, OperatingPoint, Release
from dosremc_node.releases import LoadedRelease
from dosremc_node.releases.banks import Bank

MEAN, VARIANCE = ".running_mean", ".running_var"
_EPSILON = 1e-5
"""What batch norm itself adds to a variance."""
SAME = 1e-9
"""Numbers that differ by less were read from the same one."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What one proposal would make of its parent's release: nothing else of it differs.

    ``operating_points`` take the place of, or come beside, the parent's, by scanner key or domain; ``bank`` is the domain's, None where it
    stays. ``scanner_key`` is empty where more than one scanner may be touched. ``scored_with`` is the domain whose bank scores this one
    now: itself, or the one that stands in where the parent has none for it.
    """

    kind: ChangeKind
    domain: Domain
    scanner_key: str
    parent: LoadedRelease
    operating_points: Mapping[str, OperatingPoint]
    bank: Bank | None = field(repr=False)
    scored_with: Domain

    @property
    def is_new(self) -> bool:
        """Whether the parent has no bank for the domain, which so is not shown yet."""
        return self.domain not in self.parent.release.banks

    @property
    def is_on_loan(self) -> bool:
        """Whether the domain is scored with another's bank, or a copy of one: it was never judged by outcomes."""
        digests = [bank.sha256 for bank in self.parent.release.banks.values()]
        return self.is_new or digests.count(self.parent.release.banks[self.domain].sha256) > 1

    def champion(self, scanner_key: str) -> OperatingPoint:
        """The operating point in force of a scanner."""
        return point_of(self.parent.release, scanner_key, self.scored_with)

    def challenger(self, scanner_key: str) -> OperatingPoint:
        """The one that it would have."""
        return self.operating_points.get(scanner_key) or self.operating_points.get(self.domain) or self.champion(scanner_key)


def point_of(release: Release, scanner_key: str, domain: Domain) -> OperatingPoint:
    """As studies are judged: the scanner's own point, else its domain's."""
    return release.operating_points.get(scanner_key) or release.operating_points[domain]


def outside(plan: ChangePlan, change: Change) -> tuple[str, dict[str, float]]:
    """The first bound of the plan that the change breaks, empty where it keeps to all, and what was measured of it."""
    numbers = _moved(change) if change.bank is not None else {}
    for rule in _broken(plan, change, numbers):
        return rule, numbers
    return "", numbers


def _broken(plan: ChangePlan, change: Change, numbers: dict[str, float]) -> Iterator[str]:
    """In a rule's words what the change does that the plan does not allow; ``numbers`` grow by what was measured on the way."""
    if change.kind not in plan.allowed:
        yield "the change plan does not allow this kind of change"
    yield from _touches_others(change)
    if change.kind in {ChangeKind.ALIGNMENT, ChangeKind.CALIBRATION}:
        if not _is_that_in_force(change):
            yield f"{change.kind} moves operating points, and this one moves a bank"
    else:
        yield from _bank_outside(plan, change, numbers)
    for point in change.operating_points.values():
        yield from _point_outside(plan, change, point, numbers)


def _touches_others(change: Change) -> Iterator[str]:
    """Only the domain's own bank and points may differ; a proposal for one scanner touches that one, and the domain where that is new."""
    others = set(change.parent.release.banks) - {change.domain}
    if touched := others & set(change.operating_points):
        yield f"it touches another domain ({min(touched)})"
    if change.scanner_key and not set(change.operating_points) <= {change.scanner_key, *([change.domain] if change.is_new else [])}:
        yield "it touches scanners that it was not made for"
    if not change.operating_points:
        yield "it carries no operating point"
    if change.is_new and (change.bank is None or change.domain not in change.operating_points):
        yield "a domain that is new needs a bank and an operating point of its own"


# --- Banks ------------------------------------------------------------------------------------------------------------


def _is_that_in_force(change: Change) -> bool:
    """Whether the change leaves the bank, which a new domain gets a copy of, bit by bit as it is."""
    if change.bank is None:
        return True
    before = change.parent.bank(change.scored_with)
    return before.keys() == change.bank.keys() and all(_same_bits(before[name], change.bank[name]) for name in before)


def _same_bits(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def _moved(change: Change) -> dict[str, float]:
    """How far a bank moved: means and variances in the layer that moved most, and all that is learnt together."""
    before, after = change.parent.bank(change.scored_with), change.bank or {}
    if before.keys() != after.keys() or any(before[name].shape != after[name].shape for name in before):
        return {}
    shifts, ratios = [0.0], [0.0]
    for name in before:
        if name.endswith(MEAN):
            spread = np.sqrt(np.abs(before[name.removesuffix(MEAN) + VARIANCE]) + _EPSILON)
            shifts.append(float(np.sqrt(np.mean(((after[name] - before[name]) / spread) ** 2))))
        elif name.endswith(VARIANCE):
            ratio = (np.maximum(after[name], 0) + _EPSILON) / (np.maximum(before[name], 0) + _EPSILON)
            ratios.append(float(np.median(np.abs(np.log(ratio)))))
    learnt = [name for name in before if not name.endswith((MEAN, VARIANCE))]
    length = float(sum(np.sum(before[name].astype(np.float64) ** 2) for name in learnt))
    change_of_it = float(sum(np.sum((after[name].astype(np.float64) - before[name]) ** 2) for name in learnt))
    return {
        "mean_shift": max(shifts),
        "variance_ratio": float(np.exp(max(ratios))),
        "learnt_change": float(np.sqrt(change_of_it / length)) if length else 0.0,
    }


def _bank_outside(plan: ChangePlan, change: Change, moved: Mapping[str, float]) -> Iterator[str]:
    bank = change.bank
    if bank is None:
        yield f"{change.kind} makes a bank, and this one has none"
        return
    if not moved:
        yield "the bank does not fit the one in force"
        return
    if not all(np.isfinite(values).all() and (not name.endswith(VARIANCE) or (values >= 0).all()) for name, values in bank.items()):
        yield "the bank holds a value that is not finite, or a variance below 0"
    # Written so that a figure that is no number breaks the bound.
    within = moved["mean_shift"] <= plan.statistics.largest_mean_shift and moved["variance_ratio"] <= plan.statistics.largest_variance_ratio
    if not within:
        yield "the statistics move further than the change plan allows"
    if change.kind is ChangeKind.STATISTICS and moved["learnt_change"] != 0:
        yield "statistics alone may move, and what is learnt moves too"
    if not moved["learnt_change"] <= plan.fine_tuning.largest_change:
        yield "what is learnt moves further than the change plan allows"


# --- Operating points -------------------------------------------------------------------------------------------------


def _point_outside(plan: ChangePlan, change: Change, point: OperatingPoint, numbers: dict[str, float]) -> Iterator[str]:
    if not all(map(np.isfinite, (point.threshold, point.slope, point.intercept, *(each for pair in point.alignment for each in pair)))):
        yield "an operating point holds a value that is not finite"
        return
    if not (0 < point.threshold < 1 and point.slope > 0):
        yield "an operating point has a threshold outside 0 to 1, or a slope that is not above 0"
    if any(low >= high for pairs in zip(point.alignment, point.alignment[1:], strict=False) for low, high in zip(*pairs, strict=True)):
        yield "an alignment does not rise"
    if change.kind is ChangeKind.CALIBRATION:
        yield from _calibration_outside(plan, change.champion(change.scanner_key), point, numbers)
    else:
        yield from _alignment_outside(plan, change, point, numbers)


def _calibration_outside(plan: ChangePlan, before: OperatingPoint, point: OperatingPoint, numbers: dict[str, float]) -> Iterator[str]:
    bounds = plan.calibration
    slope = point.slope / before.slope
    intercept = point.intercept - slope * before.intercept
    numbers |= {"slope": slope, "intercept": intercept}
    if (point.threshold, point.alignment) != (before.threshold, before.alignment):
        yield "a calibration moves slope and intercept, and this one moves more"
    if abs(intercept) > bounds.largest_intercept or not bounds.smallest_slope <= slope <= bounds.largest_slope:
        yield "the change is larger than the change plan allows"


def _alignment_outside(plan: ChangePlan, change: Change, point: OperatingPoint, numbers: dict[str, float]) -> Iterator[str]:
    shift = max((abs(meant - found) for found, meant in point.alignment), default=0.0)
    numbers["shift"] = max(shift, numbers.get("shift", 0.0))
    known = change.parent.release.operating_points.values()
    if not any(abs(point.slope - each.slope) < SAME and abs(point.intercept - each.intercept) < SAME for each in known):
        yield "an alignment keeps a calibration that is in force, and this one has another"
    if not any(abs(point.threshold - each.threshold) < SAME for each in known):
        yield "an alignment keeps a threshold that is in force, and this one has another"
    if shift > plan.alignment.largest_shift:
        yield "the scores are moved further than the change plan allows"
