"""Whether a network looks at the lesion that it is shown."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dosremc_node.network.batches import BATCH, channels_last, in_order, to_network
from dosremc_node.network.examples import Examples
from dosremc_node.network.prediction import Network, saliency_of


def on_the_lesion(network: Network, examples: Examples, batch: int = BATCH) -> NDArray[np.bool_]:
    """For each malignant image, in order, whether the highest cell of its map touches the lesion's disc, shape (malignant images,).

    Raises `NoSaliencyMap`.
    """
    network.eval()
    channels_last(network)
    malignant = np.flatnonzero(examples.malignant)
    found = [
        _touching(_highest_cells(network, examples.batch(malignant[part])), examples.lesions[malignant[part]])
        for part in in_order(len(malignant), batch)
    ]
    return np.concatenate(found)


def _highest_cells(network: Network, images: Tensor) -> NDArray[np.float64]:
    """The highest cell of each image, in the images' pixels, shape (n, 4): left, top, right, bottom."""
    with torch.no_grad():
        cells = saliency_of(network, network(to_network(network, images)))
    rows, columns = cells.shape[2:]
    row, column = np.divmod(cells.flatten(1).argmax(dim=1).cpu().numpy(), columns)
    height, width = images.shape[2] / rows, images.shape[3] / columns
    return np.stack([column * width, row * height, (column + 1) * width, (row + 1) * height], axis=1)


def _touching(cells: NDArray[np.float64], lesions: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each cell has a point within the radius of its lesion (column, row, radius)."""
    nearest = np.clip(lesions[:, :2], cells[:, :2], cells[:, 2:])
    return np.asarray(np.hypot(*(nearest - lesions[:, :2]).T) <= lesions[:, 2])
