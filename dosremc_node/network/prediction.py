"""What a network says of images: the one interface that banks, methods, training and export know a network by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from dosremc_node.errors import NoSaliencyMap


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a network says of n images.

    ``logits`` (n,): of malignancy, an image each. ``saliency`` (n, 1, h, w): the logits of a map's cells, which cover the image evenly;
    None where the network has no map. ``features`` (n, d): what the last fully connected layer judges, for an adversary.
    ``parts``: logits (n,) of a network's branches, by name, where each is trained with a loss of its own.
    """

    logits: Tensor
    saliency: Tensor | None
    features: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Network(nn.Module):
    """A torch module with batch norm that judges mammograms."""

    def forward(self, images: Tensor) -> Prediction:
        """From images (n, 1, height, width), float32 as `imaging` prepares them."""
        raise NotImplementedError

    def __call__(self, images: Tensor) -> Prediction:
        """As `forward`, and with its type."""
        prediction: Prediction = super().__call__(images)
        return prediction


def saliency_of(network: nn.Module, prediction: Prediction) -> Tensor:
    """The saliency map (n, 1, h, w) of a prediction, where the map is needed; raises `NoSaliencyMap`, which names the network's class."""
    if prediction.saliency is None:
        raise NoSaliencyMap(network=type(network).__name__)
    return prediction.saliency
