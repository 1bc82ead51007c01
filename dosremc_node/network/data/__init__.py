"""Images to learn from: published data sets as one index table, what is confounded in it, and its images as the node would see them."""

from dosremc_node.network.data.balance import Balance, Confounding, balance, confounding
from dosremc_node.network.data.examples import LoadedImages, load_images
from dosremc_node.network.data.index import Box, Excluded, Index, IndexRow, Split, read_index, write_index
from dosremc_node.network.data.layouts import LAYOUTS, build_index
from dosremc_node.network.data.splitting import assign_splits

__all__ = [
    "LAYOUTS",
    "Balance",
    "Box",
    "Confounding",
    "Excluded",
    "Index",
    "IndexRow",
    "LoadedImages",
    "Split",
    "assign_splits",
    "balance",
    "build_index",
    "confounding",
    "load_images",
    "read_index",
    "write_index",
]
