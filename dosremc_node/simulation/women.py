"""Who is examined: the sizes and densities of breasts, and where which lesion lies, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dosremc_node.records import Laterality, View
from dosremc_node.simulation.breast import FIELD_HEIGHT_MM, Anatomy
from dosremc_node.simulation.lesions import Lesion, LesionKind

THICKNESS_BY_DENSITY = ((0.05, 60.0), (0.15, 55.0), (0.34, 45.0), (0.60, 35.0))
"""Compressed thickness in mm by glandular share: the denser a breast, the thinner."""


CONSPICUITY = (0.64, 1.36)
"""The range of what multiplies a lesion's contrast: it sets how hard the task is, and was set before anything was trained on four vendors."""


@dataclass(frozen=True, slots=True)
class Population:
    """What varies between women. ``conspicuity`` multiplies what a lesion adds to the attenuation: it sets how
    hard the task is. ``cluster_share`` of the malignant lesions are clusters; ``benign_share`` of all breasts hold an oval.
    """

    conspicuity: tuple[float, float] = CONSPICUITY
    radius_mm: tuple[float, float] = (4.5, 9.5)
    cluster_share: float = 0.2
    benign_share: float = 0.35


POPULATION = Population()


@dataclass(frozen=True, slots=True)
class _Draw:
    """What lesions are drawn from: ``breast`` gives what both views share, ``exposure`` what only this view sees."""

    breast: np.random.Generator
    exposure: np.random.Generator
    view: View
    half_height_mm: float
    depth_mm: float
    population: Population


def anatomy(seed: int, laterality: Laterality, view: View, *, malignant: bool, population: Population = POPULATION) -> Anatomy:
    """The breast of the woman ``seed`` in one view. Both breasts are alike in size; each has tissue and lesions of its own,
    and a lesion lies at about the same distance from the chest wall in both of a breast's views.
    """
    woman = np.random.default_rng([seed, 10])
    breast = np.random.default_rng([seed, 11, ord(laterality)])
    exposure = np.random.default_rng([seed, 12, ord(laterality), len(view)])
    density = float(woman.beta(1.6, 2.8) * 0.6)
    thickness = _thickness(density) + float(woman.normal(0, 4))
    half_height, depth = (float(size * breast.normal(1, 0.02)) for size in (woman.uniform(66, 98), woman.uniform(68, 128)))
    lesions = _lesions(_Draw(breast, exposure, view, half_height, depth, population), malignant=malignant)
    return Anatomy(view, half_height, depth, max(thickness, 25.0), density, int(exposure.integers(2**31)), lesions)


def _thickness(density: float) -> float:
    densities, thicknesses = zip(*THICKNESS_BY_DENSITY, strict=True)
    return float(np.interp(density, np.array(densities), np.array(thicknesses)))


def _lesions(draw: _Draw, *, malignant: bool) -> tuple[Lesion, ...]:
    benign = _lesion(draw, LesionKind.OVAL_MASS)
    kind = LesionKind.CLUSTER if draw.breast.random() < draw.population.cluster_share else LesionKind.SPICULATED_MASS
    cancer = _lesion(draw, kind)
    with_benign = draw.breast.random() < draw.population.benign_share
    return (benign,) * with_benign + (cancer,) * malignant


def _lesion(draw: _Draw, kind: LesionKind) -> Lesion:
    share, population = float(draw.breast.uniform(0.22, 0.78)), draw.population
    if draw.view is View.MLO:
        share = 0.34 + 0.6 * share  # an oblique view lifts what lies at the chest wall clear of the muscle
    radius, conspicuity = float(draw.breast.uniform(*population.radius_mm)), float(draw.breast.uniform(*population.conspicuity))
    reach = 0.62 * draw.half_height_mm * float(np.sqrt(1 - share**2))
    middle = FIELD_HEIGHT_MM * (0.5 if draw.view is View.CC else 0.6)
    y = middle + float(draw.exposure.uniform(-reach, reach))
    return Lesion(kind, share * draw.depth_mm, y, radius, conspicuity, int(draw.exposure.integers(2**31)))
