"""What a release is worth on the images of an index: breast by breast, domain by domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from dosremc_node.errors import NotMeasurable
from dosremc_node.evaluation import (
    Estimate,
    Performance,
    Values,
    calibrated,
    performance,
    stratified_interval,
    weighted_sensitivity,
)
from dosremc_node.network.banks import put_bank
from dosremc_node.network.data import Excluded, Index, IndexRow, LoadedImages, Split, load_images
from dosremc_node.network.export import import_backbone
from dosremc_node.network.prediction import Network
from dosremc_node.network.releasing.images import Workplace, breasts
from dosremc_node.network.scoring import logits
from dosremc_node.records import Domain, OperatingPoint
from dosremc_node.releases import LoadedRelease


@dataclass(frozen=True, slots=True)
class Measured:
    """A domain's figures with a bank; ``performance`` is None where it could not be measured, and ``why`` says why not.

    ``sensitivity`` is that at the threshold which spares just ``specificity`` of these very breasts, as papers have it; at the release's
    own threshold it stands in ``performance``.
    """

    domain: Domain
    bank: Domain
    images: int
    performance: Performance | None
    why: str
    specificity: float
    sensitivity: Estimate | None = None
    excluded: tuple[Excluded, ...] = ()


def evaluate_release(
    loaded: LoadedRelease,
    index: Index,
    split: Split,
    domains: Sequence[Domain],
    *,
    workplace: Workplace,
    bank: Domain | None = None,
    specificity: float = 0.9,
) -> list[Measured]:
    """Each of ``domains`` with its own bank and operating point, or all with those of ``bank``. A domain without a bank is listed so."""
    network = import_backbone(loaded.backbone()).to(workplace.torch_device)
    found = []
    for domain in domains:
        nothing = Measured(domain, bank or domain, 0, None, "", specificity)
        found.append(_measured(loaded, network, index.of(split, domain), nothing, workplace))
    return found


def _measured(loaded: LoadedRelease, network: Network, rows: tuple[IndexRow, ...], nothing: Measured, workplace: Workplace) -> Measured:
    """``nothing``, filled with what is found."""
    bank, release = nothing.bank, loaded.release
    point = release.operating_points.get(str(bank))
    if bank not in release.banks or point is None:
        return replace(nothing, why=f"the release has no bank and operating point for {bank}")
    put_bank(network, loaded.bank(bank), bank)
    progress = workplace.progress(f"images of {nothing.domain}")
    images = load_images(rows, release.preprocessing, workplace.cache, processes=workplace.processes, progress=progress)
    seen = replace(nothing, images=len(images.rows), excluded=images.excluded)
    try:
        return _with_figures(seen, network, images, point)
    except NotMeasurable as error:
        return replace(seen, why=str(error))


def _with_figures(seen: Measured, network: Network, images: LoadedImages, point: OperatingPoint) -> Measured:
    if not images.rows:
        raise NotMeasurable(found="no image that can be used", needed="at least 1 of each kind")
    probabilities, malignant = breasts(images.rows, calibrated(logits(network, images.examples), point))
    scores = _logit(probabilities)
    sensitivity = partial(weighted_sensitivity, specificity=seen.specificity)
    return replace(
        seen,
        performance=performance(scores, malignant, point.threshold),
        sensitivity=stratified_interval(sensitivity, scores, malignant),
    )


def _logit(probabilities: Values) -> Values:
    inside = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(inside / (1 - inside)))
