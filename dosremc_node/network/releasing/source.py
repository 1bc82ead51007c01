"""Training from an index: the filters, and the bank of the domains that they were learnt on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor
from torch.nn import functional

from dosremc_node.errors import ReleaseExists
from dosremc_node.evaluation import pr_auc, sigmoid
from dosremc_node.imaging import DEFAULT_SPEC
from dosremc_node.network.augmentation import Move
from dosremc_node.network.banks import bank_of
from dosremc_node.network.batches import Chosen, device_of, to_network
from dosremc_node.network.data import Index, IndexRow, LoadedImages, Split
from dosremc_node.network.export import export_backbone
from dosremc_node.network.gmic import GMIC
from dosremc_node.network.losses import IMAGE_LOSS_SHARE, LESION_WEIGHT, image_loss, lesion_map
from dosremc_node.network.prediction import Network, Prediction
from dosremc_node.network.releasing.images import Made, Workplace, breasts, checkpoint_of, load_split
from dosremc_node.network.releasing.operating import operating_point
from dosremc_node.network.resnet22 import SaliencyResNet
from dosremc_node.network.scoring import logits
from dosremc_node.network.statistics import adapt_statistics
from dosremc_node.network.training import Moment, Plan, Watch, fit
from dosremc_node.records import Domain, OperatingPoint, PreprocessingSpec
from dosremc_node.releases import ReleaseFacts, write_release

APPROVER = "none: made by the training command"


class NetworkName(StrEnum):
    """The networks that a release can be made of."""

    SALIENCY = "saliency"
    GMIC = "gmic"


@dataclass(frozen=True, slots=True)
class SourceRecipe:
    """How a release is trained. ``balanced`` shows malignant and negative images of each domain equally often; ``patience`` is the number
    of epochs without a better validation PR-AUC after which it ends.
    """

    release_id: str
    network: NetworkName = NetworkName.SALIENCY
    height: int = 256
    width: int = 128
    epochs: int = 20
    rate: float = 3e-3
    batch: int = 32
    patience: int = 8
    seed: int = 1
    balanced: bool = True
    specificity: float = 0.9

    @property
    def spec(self) -> PreprocessingSpec:
        return replace(DEFAULT_SPEC, height=self.height, width=self.width)


def train_release(index: Index, domains: tuple[Domain, ...], out: Path, recipe: SourceRecipe, workplace: Workplace) -> Made:
    """Train on the training split of ``domains``, choose the epoch and the operating points on validation, and write the release.

    All these domains get the same bank, and an operating point each. An interrupted call goes on where it ended, to the same bits on the
    same processor. Raises `NothingToLearnFrom`, `ReleaseExists`, `LossNotFinite`.
    """
    if (out / recipe.release_id).exists():
        raise ReleaseExists(release=recipe.release_id, folder=out)
    training = load_split(index, Split.TRAINING, domains, recipe.spec, workplace)
    validation = {domain: load_split(index, Split.VALIDATION, (domain,), recipe.spec, workplace) for domain in domains}
    loaded = (training, *validation.values())
    checkpoint = checkpoint_of(out, recipe.release_id, [row for images in loaded for row in images.rows], recipe)
    network = _trained(training, list(validation.values()), recipe, checkpoint, workplace).cpu()
    points: dict[str, OperatingPoint] = {}
    figures: dict[str, JsonValue] = {}
    for domain, images in validation.items():
        points[str(domain)], area = operating_point(network, images, recipe.specificity)
        figures[str(domain)] = {"validation_breast_auc": round(area, 4)}
    facts = _facts(domains, points, figures, recipe, len(training.rows))
    release = write_release(out, facts, export_backbone(network, recipe.spec), dict.fromkeys(domains, bank_of(network)))
    checkpoint.unlink(missing_ok=True)
    return Made(release, tuple(each for images in loaded for each in images.excluded))


def validation_pr_auc(validation: Sequence[LoadedImages], network: torch.nn.Module) -> float:
    """The area under the precision and recall curve of the validation breasts: what the paper keeps the best epoch by."""
    if not isinstance(network, Network):
        raise TypeError("only a network can be validated")
    rows = [row for images in validation for row in images.rows]
    scores = np.concatenate([logits(network, images.examples) for images in validation])
    return pr_auc(*breasts(rows, sigmoid(scores)))


def _trained(
    training: LoadedImages, validation: Sequence[LoadedImages], recipe: SourceRecipe, checkpoint: Path, workplace: Workplace
) -> Network:
    torch.manual_seed(recipe.seed)
    network = (SaliencyResNet() if recipe.network is NetworkName.SALIENCY else GMIC()).to(workplace.torch_device)
    order = balanced_order(training.rows) if recipe.balanced else np.arange(len(training.rows))
    examples = training.examples
    marked = bool((~np.isnan(examples.lesions[:, 0])).any())

    def loss(chosen: Chosen, moment: Moment) -> Tensor:
        images, move = order[chosen], Move.at_random(recipe.height, moment.random)
        prediction = network(to_network(network, move.images(examples.batch(images))))
        lesions = move.lesions(torch.from_numpy(examples.lesions[images]), recipe.height)
        malignant = torch.from_numpy(examples.malignant[images].astype(np.float32))
        device = device_of(network)
        return source_loss(prediction, malignant.to(device), lesions.to(device) if marked else None, recipe.height)

    watch = Watch(
        progress=workplace.progress("training"),
        validate=lambda network: validation_pr_auc(validation, network),
        patience=recipe.patience,
        checkpoint=checkpoint,
    )
    plan = Plan(recipe.epochs, recipe.rate, recipe.batch)
    fit(network, list(network.parameters()), loss, len(order), plan, seed=recipe.seed, watch=watch)
    adapt_statistics(network, examples, seed=recipe.seed)
    return network


def source_loss(prediction: Prediction, malignant: Tensor, lesions: Tensor | None, height: int) -> Tensor:
    """The image's label, and, where lesions (n, 3) are marked, the map against them, in images of this height.

    A malignant image whose lesion nobody marked is held against its label alone: where its map should light up is not known. Without
    marks in the whole data set (None), or without a map, labels are all there is.
    """
    per_image = image_loss(prediction, malignant)
    if lesions is None or prediction.saliency is None:
        return per_image
    cells = prediction.saliency[:, 0]
    target = lesion_map(lesions, cells.shape[1], cells.shape[2], height // cells.shape[1])
    per_cell = functional.binary_cross_entropy_with_logits(cells, target, weight=1 + LESION_WEIGHT * target, reduction="none")
    known = (malignant == 0) | ~lesions[:, 0].isnan()
    return per_cell.mean(dim=(1, 2))[known].sum() / len(known) + IMAGE_LOSS_SHARE * per_image


def balanced_order(rows: tuple[IndexRow, ...]) -> NDArray[np.intp]:
    """Places of ``rows`` in which, within each domain, the rarer class is repeated until it is as frequent as the other."""
    places: list[NDArray[np.intp]] = []
    for domain in sorted({row.domain for row in rows}):
        classes = [
            np.array([place for place, row in enumerate(rows) if row.domain == domain and row.malignant is malignant], np.intp)
            for malignant in (False, True)
        ]
        most = max(len(each) for each in classes)
        places += [np.resize(each, most) for each in classes if len(each)]
    return np.concatenate(places)


def _facts(
    domains: tuple[Domain, ...], points: dict[str, OperatingPoint], figures: dict[str, JsonValue], recipe: SourceRecipe, images: int
) -> ReleaseFacts:
    return ReleaseFacts(
        release_id=recipe.release_id,
        preprocessing=recipe.spec,
        operating_points=points,
        approver=APPROVER,
        demonstration=True,
        statement=f"Research weights, trained on {', '.join(domains)}, no clinical evidence.",
        cohort={"filters_from": str(domains[0]), "domains": [str(domain) for domain in domains], "training_images": images},
        metrics=figures,
        provenance={
            "recipe": {key: str(value) for key, value in asdict(recipe).items()},
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )
