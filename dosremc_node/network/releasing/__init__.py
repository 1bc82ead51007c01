"""From an index to a release and back: train filters and a first bank, add a bank for another domain, measure what was made."""

from dosremc_node.network.releasing.adapting import METHODS_THAT_GIVE_A_BANK, AdaptationRecipe, adapt_release
from dosremc_node.network.releasing.images import Made, Workplace
from dosremc_node.network.releasing.measuring import Measured, evaluate_release
from dosremc_node.network.releasing.source import NetworkName, SourceRecipe, train_release

__all__ = [
    "METHODS_THAT_GIVE_A_BANK",
    "AdaptationRecipe",
    "Made",
    "Measured",
    "NetworkName",
    "SourceRecipe",
    "Workplace",
    "adapt_release",
    "evaluate_release",
    "train_release",
]
