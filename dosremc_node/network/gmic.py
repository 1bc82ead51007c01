"""GMIC: a look at the whole image says where to look closer, six crops are looked at closely, and both together judge.

Written from its description (Shen et al., arXiv 2002.07613) and from what DoSReMC (arXiv 2508.15452) says of it. With gated attention
(Ilse et al., arXiv 1802.04712) the crops become one vector, in which the suspicious ones weigh most.

Parameters of the default: 14,110,322 in all. Batch norm has 13,600 (gamma and beta of 21 + 20 layers with 6,800 channels; as many again are
running means and variances, which are buffers). Linear layers have 133,762: attention 2 x 512 x 128 + 128, local classifier
512 x 2, fusion 768 x 2 + 2. Together 147,362, or 1.04 %: all that BNFC trains.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dosremc_node.network.crops import best_windows, crops_at, window_of
from dosremc_node.network.prediction import Network, Prediction
from dosremc_node.network.resnet18 import GROWTH, ResNet18
from dosremc_node.network.resnet22 import GMIC_RESNET22, ResNetConfiguration, SaliencyResNet

COLOURS = 3
"""The local network was made for photographs, and a crop is shown to it as a grey one."""


@dataclass(frozen=True, slots=True)
class GMICConfiguration:
    """How GMIC is built: its global half, ``crops`` squares with sides of ``crop`` pixels, and the width at which the local half starts."""

    overview: ResNetConfiguration = GMIC_RESNET22
    crops: int = 6
    crop: int = 256
    local_width: int = 64
    attention: int = 128


class GatedAttention(nn.Module):
    """From vectors (n, count, width) to one each, (n, width): their mean, weighted by what two small layers make of them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.value = nn.Linear(width, hidden, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.weight = nn.Linear(hidden, 1, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        seen = torch.tanh(self.value(vectors)) * torch.sigmoid(self.gate(vectors))
        return (torch.softmax(self.weight(seen), dim=1) * vectors).sum(dim=1)


class GMIC(Network):
    """The whole network. Its ``logits`` are the fusion's, of malignancy; its ``parts`` are ``global`` and ``local``, which DoSReMC trains
    with losses of their own; its ``features`` are the 768 values before the fusion, on which DoSReMC's adversary works.
    """

    def __init__(self, configuration: GMICConfiguration = GMICConfiguration()) -> None:
        super().__init__()
        self.configuration = configuration
        width, outputs = GROWTH[-1] * configuration.local_width, configuration.overview.outputs
        self.overview = SaliencyResNet(configuration.overview)
        self.closer = ResNet18(COLOURS, configuration.local_width)
        self.attention = GatedAttention(width, configuration.attention)
        self.local = nn.Linear(width, outputs, bias=False)
        self.fusion = nn.Linear(configuration.overview.width + width, outputs)

    def forward(self, images: Tensor) -> Prediction:
        seen = self.overview.features(images)
        cells = self.overview.cells(seen)
        closely = self.attention(self.look_closer(images, cells))
        both = torch.cat([seen.amax(dim=(2, 3)), closely], dim=1)
        malignant = cells[:, -1:]
        return Prediction(
            logits=self.fusion(both)[:, -1],
            saliency=malignant,
            features=both,
            parts={"global": self.overview.score(malignant), "local": self.local(closely)[:, -1]},
        )

    def look_closer(self, images: Tensor, cells: Tensor) -> Tensor:
        """The vector of each crop, (n, crops, width). Where the crops lie is a choice, through which no gradient goes."""
        configuration = self.configuration
        with torch.no_grad():
            window = window_of(configuration.crop, images, cells)
            places = best_windows(torch.sigmoid(cells), window, configuration.crops)
            crops = crops_at(images, cells, places, configuration.crop)
        vectors: Tensor = self.closer(crops.expand(-1, COLOURS, -1, -1))
        return vectors.reshape(-1, configuration.crops, vectors.shape[1])
