"""Any image classifier with batch norm as a `Network`: its own layers, and a map that is exactly what its score is made of.

Where a classifier averages its last features over the image and judges the average by a linear layer, the same layer judges each cell
of those features, and the average of the cells' logits is the image's logit (Zhou et al., arXiv 1512.04150: class activation maps).
"""

from __future__ import annotations

from torch import Tensor, nn

from dosremc_node.errors import NotAClassifier
from dosremc_node.network.prediction import Network, Prediction

AVERAGES = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


class Classifier(Network):
    """A classifier with one output, the logit of malignancy. ``pool`` and ``head`` name its global average and its linear layer, such as
    ``avgpool`` and ``fc`` of a ResNet; what stands before them may be anything that makes features (n, d, h, w).

    Only the way to ``pool`` and ``head`` itself are used: a dropout between the two is left out. Raises `NotAClassifier`.
    """

    def __init__(self, model: nn.Module, pool: str = "avgpool", head: str = "fc") -> None:
        super().__init__()
        self.model = model
        self._pool_name, self._head_name = pool, head
        _check(self.model, self._layer(pool), self._layer(head))

    def forward(self, images: Tensor) -> Prediction:
        features = self.features(images)
        cells: Tensor = self._layer(self._head_name)(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return Prediction(logits=cells.mean(dim=(1, 2, 3)), saliency=cells, features=features.mean(dim=(2, 3)))

    def features(self, images: Tensor) -> Tensor:
        """What the model hands to its global average, (n, d, h, w)."""
        handed: list[Tensor] = []
        # The hook lives as long as one pass, so that copies of the network share nothing.
        hook = self._layer(self._pool_name).register_forward_pre_hook(lambda _, inputs: handed.append(inputs[0]))
        try:
            self.model(images)
        finally:
            hook.remove()
        if len(handed) != 1 or handed[0].ndim != 4:
            shapes = [tuple(each.shape) for each in handed]
            raise NotAClassifier(
                model=type(self.model).__name__, why=f"its layer {self._pool_name} was handed {shapes}, not one (n, d, h, w)"
            )
        return handed[0]

    def _layer(self, name: str) -> nn.Module:
        try:
            return self.model.get_submodule(name)
        except AttributeError as error:
            raise NotAClassifier(model=type(self.model).__name__, why=f"it has no layer {name}") from error


def _check(model: nn.Module, pool: nn.Module, head: nn.Module) -> None:
    """Refuse what would give a map that is not what the score is made of."""
    if not isinstance(pool, AVERAGES) or set(_sizes(pool.output_size)) != {1}:
        raise NotAClassifier(model=type(model).__name__, why=f"it pools by {pool}, not by a global average")
    if not isinstance(head, nn.Linear) or head.out_features != 1:
        raise NotAClassifier(model=type(model).__name__, why=f"it judges by {head}, not by a linear layer with one output")


def _sizes(output_size: object) -> tuple[object, ...]:
    return tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,)
