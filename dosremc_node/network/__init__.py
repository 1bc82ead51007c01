"""The network room knows torch: the network, its banks, freezing, training, and the export to ONNX. The serving path never imports it.

It gives a backbone whose filters never move and a bank for each domain, and trains the demonstration release.
"""

from dosremc_node.network.banks import Bank, bank_digest, bank_of, filters_digest, filters_frozen, freeze_filters, put_bank
from dosremc_node.network.demonstration import Recipe, train_demonstration
from dosremc_node.network.domain_banks import DomainBanks
from dosremc_node.network.export import export_backbone, import_backbone
from dosremc_node.network.model import SaliencyNetwork
from dosremc_node.network.training import adapt_statistics, train_bank, train_filters

__all__ = [
    "Bank",
    "DomainBanks",
    "Recipe",
    "SaliencyNetwork",
    "adapt_statistics",
    "bank_digest",
    "bank_of",
    "export_backbone",
    "filters_digest",
    "filters_frozen",
    "freeze_filters",
    "import_backbone",
    "put_bank",
    "train_bank",
    "train_demonstration",
    "train_filters",
]
