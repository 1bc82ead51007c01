"""The network room knows torch: the network, its banks, freezing, training, and the export to ONNX. The serving path never imports it.

It gives a backbone whose filters never move and a bank for each domain, and trains the demonstration release.
"""

from dosremc_node.network.banks import Bank, bank_digest, bank_of, filters_digest, filters_frozen, freeze_filters, put_bank
from dosremc_node.network.classifier import Classifier
from dosremc_node.network.demonstration import Recipe, train_demonstration
from dosremc_node.network.domain_banks import DomainBanks
from dosremc_node.network.export import export_backbone, import_backbone, load_backbone
from dosremc_node.network.gmic import GMIC, GMICConfiguration
from dosremc_node.network.methods.fine_tuning import train_bank
from dosremc_node.network.prediction import Network, Prediction
from dosremc_node.network.published_weights import load_gmic
from dosremc_node.network.resnet22 import GMIC_RESNET22, LIGHT_RESNET22, Head, ResNetConfiguration, SaliencyResNet, Stage
from dosremc_node.network.source_training import train_filters
from dosremc_node.network.statistics import adapt_statistics
from dosremc_node.network.training import Plan, Watch

__all__ = [
    "GMIC",
    "GMIC_RESNET22",
    "LIGHT_RESNET22",
    "Bank",
    "Classifier",
    "DomainBanks",
    "GMICConfiguration",
    "Head",
    "Network",
    "Plan",
    "Prediction",
    "Recipe",
    "ResNetConfiguration",
    "SaliencyResNet",
    "Stage",
    "Watch",
    "adapt_statistics",
    "bank_digest",
    "bank_of",
    "export_backbone",
    "filters_digest",
    "filters_frozen",
    "freeze_filters",
    "import_backbone",
    "load_backbone",
    "load_gmic",
    "put_bank",
    "train_bank",
    "train_demonstration",
    "train_filters",
]
