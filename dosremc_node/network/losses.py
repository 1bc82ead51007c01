"""What a network is held against: the label of the image, or, where the lesions' places are known, its map as well."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dosremc_node.network.prediction import Network, Prediction, saliency_of

LESION_WEIGHT = 29.0
IMAGE_LOSS_SHARE = 0.3
SALIENCY_WEIGHT = 4.63e-4


def image_loss(prediction: Prediction, malignant: Tensor) -> Tensor:
    """Cross entropy with the image's label, ``malignant`` (n,) float: all that a hospital knows.

    Where the network has parts with a loss of their own, as GMIC does, theirs are added, and 4.63e-4 times the L1 norm of each
    image's saliency (a sum over its cells, as probabilities), as in DoSReMC (arXiv 2508.15452) after Shen et al. (arXiv 2002.07613).
    """
    total = functional.binary_cross_entropy_with_logits(prediction.logits, malignant)
    for logits in prediction.parts.values():
        total = total + functional.binary_cross_entropy_with_logits(logits, malignant)
    if prediction.parts and prediction.saliency is not None:
        total = total + SALIENCY_WEIGHT * prediction.saliency.sigmoid().flatten(1).sum(dim=1).mean()
    return total


def lesion_loss(network: Network, images: Tensor, lesions: Tensor) -> Tensor:
    """Cross entropy of the saliency map against Gaussians at the lesions (n, 3), plus a share of that of the image's logit.

    Raises `NoSaliencyMap`.
    """
    prediction = network(images)
    cells = saliency_of(network, prediction)
    target = lesion_map(lesions, cells.shape[2], cells.shape[3], images.shape[2] // cells.shape[2])
    per_cell = functional.binary_cross_entropy_with_logits(cells[:, 0], target, weight=1 + LESION_WEIGHT * target)
    return per_cell + IMAGE_LOSS_SHARE * image_loss(prediction, (~lesions[:, 0].isnan()).float())


def lesion_map(lesions: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Gaussians of a lesion's size, 1 at its centre, on a grid of cells of ``stride`` pixels: from (n, 3) to (n, height, width)."""
    column = (torch.arange(width, device=lesions.device) + 0.5) * stride
    row = (torch.arange(height, device=lesions.device) + 0.5) * stride
    x, y, radius = (lesions[:, index, None, None] for index in range(3))
    squared = (column[None, None, :] - x) ** 2 + (row[None, :, None] - y) ** 2
    return torch.exp(-squared / (2 * radius.clamp(min=0.9 * stride) ** 2)).nan_to_num(0.0)
