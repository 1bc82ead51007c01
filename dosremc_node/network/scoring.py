"""What a network says of many images: one logit each, with the statistics that it has."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dosremc_node.network.batches import BATCH, Images, channels_last, in_order, to_network
from dosremc_node.network.prediction import Network


def logits(network: Network, images: Images, batch: int = BATCH) -> NDArray[np.float64]:
    """The logit of every image, shape (n,), with the network's fixed statistics: none depends on its batch mates."""
    network.eval()
    channels_last(network)
    with torch.no_grad():
        return joined([network(to_network(network, images.batch(chosen))).logits for chosen in in_order(len(images), batch)])


def joined(parts: list[Tensor]) -> NDArray[np.float64]:
    """Logits of batches as one array."""
    return np.concatenate([part.detach().double().cpu().numpy() for part in parts])
