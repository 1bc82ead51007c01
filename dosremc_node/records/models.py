"""What scores an image: releases, their banks and operating points, and what they say of pixels."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from typing import NewType

from dosremc_node.records.encoding import to_json

Domain = NewType("Domain", str)
"""The name of a group of scanners that share a bank, such as ``hologic``."""


@dataclass(frozen=True, slots=True)
class BankId:
    """A domain's bank, by content: ``sha256`` of its safetensors file."""

    domain: Domain
    sha256: str

    def __str__(self) -> str:
        return f"{self.domain}@{self.sha256[:12]}"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A calibrated threshold with its target.

    The network's logit z is first aligned, where the scanner's scores are to be read as another's: ``alignment`` holds points
    (logit found, logit meant) in rising order, straight lines between them, and beyond the outer ones their shift. The aligned z becomes
    the probability sigmoid(slope * z + intercept) (Platt scaling); an image is positive where that is at or above ``threshold``.
    ``target`` says in words what the threshold was chosen for.
    """

    threshold: float
    slope: float = 1.0
    intercept: float = 0.0
    target: str = ""
    alignment: tuple[tuple[float, float], ...] = ()

    def probability(self, logit: float) -> float:
        """The calibrated probability of an image, without overflow."""
        calibrated = self.slope * self.aligned(logit) + self.intercept
        if calibrated >= 0:
            return 1.0 / (1.0 + math.exp(-calibrated))
        return math.exp(calibrated) / (1.0 + math.exp(calibrated))

    def aligned(self, logit: float) -> float:
        """The logit as the calibration expects it."""
        if not self.alignment:
            return logit
        after = bisect_right(self.alignment, (logit, math.inf))
        below, above = self.alignment[max(after - 1, 0)], self.alignment[min(after, len(self.alignment) - 1)]
        if below == above:  # beyond an outer point
            return logit + below[1] - below[0]
        return below[1] + (logit - below[0]) * (above[1] - below[1]) / (above[0] - below[0])


@dataclass(frozen=True, slots=True)
class PreprocessingSpec:
    """How pixels become a network input: written in the release's manifest and hashed, because a model is only as
    good as the agreement between the pixels it learnt from and those it is served.

    ``height`` and ``width`` are the network's input in pixels. ``crop`` names the rule for the region of interest,
    ``grey_scale`` the rule for the grey values, ``normalisation`` what happens to them last.
    """

    height: int
    width: int
    grey_scale: str
    crop: str
    normalisation: str
    chest_wall: str = "left"
    version: int = 1

    @property
    def sha256(self) -> str:
        """The digest that binds releases and kept network inputs to the preprocessing they were made with."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Release:
    """A backbone with all its banks and operating points: what the manifest ``release.json`` says.

    ``operating_points`` go by scanner key (``str(ScannerKey)``) and, where a key has none of its own, by domain.
    """

    release_id: str
    parent: str | None
    filters_sha256: str
    backbone_sha256: str
    preprocessing: PreprocessingSpec
    preprocessing_sha256: str
    banks: dict[Domain, BankId]
    operating_points: dict[str, OperatingPoint]
    device_uid: str
    created: datetime
    approver: str
    demonstration: bool
    statement: str
    """One sentence that every report repeats, such as what the weights may not be used for."""
    algorithm_name: str = "DoSReMC"
    manufacturer: str = "DoSReMC node"
    allows_tf32: bool = False
    """A GPU may round to TF32 (10 bits of mantissa): the release was proven with it."""
    half_precision_tolerance: float | None = None
    """A GPU may compute in half precision where no logit moves by more than this; None: it may not."""
