"""One more bank for a release: another domain's, by any method that leaves the filters alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue

from dosremc_node.errors import FiltersMoved, NeedsSource, NotABankMethod, ReleaseExists
from dosremc_node.network.banks import Bank, put_bank
from dosremc_node.network.data import Excluded, Index, LoadedImages, Split
from dosremc_node.network.examples import Examples
from dosremc_node.network.export import import_backbone
from dosremc_node.network.methods import METHODS, Task
from dosremc_node.network.prediction import Network
from dosremc_node.network.releasing.images import Made, Workplace, checkpoint_of, load_split
from dosremc_node.network.releasing.operating import operating_point
from dosremc_node.network.releasing.source import APPROVER, validation_pr_auc
from dosremc_node.network.training import Plan, Watch
from dosremc_node.records import Domain, OperatingPoint
from dosremc_node.releases import LoadedRelease, ReleaseFacts, write_release

METHODS_THAT_GIVE_A_BANK = (
    "domain_banks", "domain_banks_unlabelled", "adabn", "adabn_early", "bn_only", "bnfc", "bnfc_held", "unadapted",
    "adabn_shrunk", "bn_classifier", "dann_bnfc", "dann_domain_bn",
)  # fmt: skip
"""Of `METHODS`: the others move filters, or keep nothing because the batch decides. The last line's need the source's images."""


@dataclass(frozen=True, slots=True)
class AdaptationRecipe:
    """How a bank is made. ``start_from`` is the domain whose bank it starts from; None: that of the filters. Training ends after
    ``patience`` epochs without a better validation PR-AUC, where the method uses labels at all.
    """

    release_id: str
    method: str = "domain_banks"
    start_from: Domain | None = None
    epochs: int = 10
    rate: float = 1e-3
    batch: int = 32
    patience: int = 5
    seed: int = 1
    specificity: float = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class _Images:
    """``source`` is None where a method does not need it."""

    training: LoadedImages
    validation: LoadedImages
    source: LoadedImages | None

    @property
    def excluded(self) -> tuple[Excluded, ...]:
        return tuple(each for images in (self.training, self.validation, self.source) if images for each in images.excluded)


def adapt_release(
    parent: LoadedRelease,
    index: Index,
    domain: Domain,
    *,
    out: Path,
    recipe: AdaptationRecipe,
    workplace: Workplace,
    source: Index | None = None,
) -> Made:
    """Write a release that has all of ``parent`` and a bank and operating point for ``domain``, in place of its own where it had one.

    ``source``: an index of the domain that is started from, for methods that need its images. Backbone and other banks are the parent's,
    byte for byte. Raises `NotABankMethod`, `NeedsSource`, `NothingToLearnFrom`, `ReleaseExists`, and what the method raises.
    """
    _check(recipe, out, source)
    spec, start = parent.release.preprocessing, recipe.start_from or _domain_of_filters(parent)
    images = _Images(
        training=load_split(index, Split.TRAINING, (domain,), spec, workplace),
        validation=load_split(index, Split.VALIDATION, (domain,), spec, workplace),
        source=load_split(source, Split.TRAINING, (start,), spec, workplace) if source else None,
    )
    rows = (*images.training.rows, *images.validation.rows)
    checkpoint = checkpoint_of(out, recipe.release_id, rows, (recipe, parent.release.device_uid))
    network = import_backbone(parent.backbone()).to(workplace.torch_device)
    put_bank(network, parent.bank(start), start)
    watch = Watch(progress=workplace.progress(f"bank of {domain}"), checkpoint=checkpoint)
    bank = _adapted(network, images, (start, domain), recipe, watch)
    put_bank(network, bank, domain)
    point, area = operating_point(network, images.validation, recipe.specificity)
    facts = _facts(parent, domain, point, recipe, {"validation_breast_auc": round(area, 4), "training_images": len(images.training.rows)})
    release = write_release(out, facts, parent.backbone(), {each: parent.bank(each) for each in parent.release.banks} | {domain: bank})
    if release.filters_sha256 != parent.release.filters_sha256:
        raise FiltersMoved(moved=f"those of {release.release_id} are not those of {parent.release.release_id}")
    checkpoint.unlink(missing_ok=True)
    return Made(release, images.excluded)


def _check(recipe: AdaptationRecipe, out: Path, source: Index | None) -> None:
    """Refuse what cannot succeed before any image is read."""
    if recipe.method not in METHODS_THAT_GIVE_A_BANK:
        raise NotABankMethod(method=recipe.method, known=", ".join(METHODS_THAT_GIVE_A_BANK))
    if METHODS[recipe.method].needs_source and source is None:
        raise NeedsSource(method=recipe.method)
    if (out / recipe.release_id).exists():
        raise ReleaseExists(release=recipe.release_id, folder=out)


def _domain_of_filters(parent: LoadedRelease) -> Domain:
    named = _mapping(parent.evidence["cohort"]).get("filters_from")
    return Domain(str(named)) if named in parent.release.banks else min(parent.release.banks)


def _adapted(network: Network, images: _Images, domains: tuple[Domain, Domain], recipe: AdaptationRecipe, watch: Watch) -> Bank:
    """The bank of the second of ``domains``, started from the first's, which is in the network."""
    method, target = METHODS[recipe.method], images.training.examples
    if method.needs_labels:
        watch = replace(watch, validate=lambda network: validation_pr_auc([images.validation], network), patience=recipe.patience)
    task = Task(
        network=network,
        source=images.source.examples if images.source else _nothing(target),
        target=target,
        malignant=target.malignant if method.needs_labels else None,
        plan=Plan(recipe.epochs, recipe.rate, recipe.batch),
        seed=recipe.seed,
        source_domain=domains[0],
        target_domain=domains[1],
        watch=watch,
    )
    torch.manual_seed(recipe.seed)
    bank = method.adapt(task).bank
    if bank is None:
        raise NotABankMethod(method=recipe.method, known=", ".join(METHODS_THAT_GIVE_A_BANK))
    return bank


def _nothing(like: Examples) -> Examples:
    """No images: a hospital rarely has those that the filters were learnt on."""
    return Examples(like.pixels[:0], like.malignant[:0], like.lesions[:0])


def _facts(
    parent: LoadedRelease, domain: Domain, point: OperatingPoint, recipe: AdaptationRecipe, figures: dict[str, JsonValue]
) -> ReleaseFacts:
    before = parent.release
    return ReleaseFacts(
        release_id=recipe.release_id,
        preprocessing=before.preprocessing,
        operating_points={**before.operating_points, str(domain): point},
        approver=APPROVER,
        demonstration=True,
        statement=before.statement,
        parent=before.release_id,
        algorithm_name=before.algorithm_name,
        manufacturer=before.manufacturer,
        allows_tf32=before.allows_tf32,
        cohort=_mapping(parent.evidence["cohort"]),
        metrics={**_mapping(parent.evidence["metrics"]), str(domain): figures},
        provenance={
            "parent_device_uid": before.device_uid,
            "recipe": {key: str(value) for key, value in asdict(recipe).items()},
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )


def _mapping(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}
