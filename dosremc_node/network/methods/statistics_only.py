"""Adapting by statistics alone: those of the target's images, without a label and without learning."""

from __future__ import annotations

from collections.abc import Mapping

from dosremc_node.network.banks import bank_of, filters_frozen
from dosremc_node.network.methods.interface import Adapted, Task
from dosremc_node.network.methods.preconditions import check_statistics
from dosremc_node.network.methods.scorers import FixedScorer
from dosremc_node.network.statistics import ChannelStatistics, Statistics, measured_statistics, own_statistics, put_statistics


def unadapted(task: Task) -> Adapted:
    """The network as the source left it: the row that all others are held against."""
    network = task.own_network()
    return Adapted(FixedScorer(network), network, bank_of(network))


def adabn(task: Task, *, shrinks: bool = False, early: float = 1.0) -> Adapted:
    """The target's statistics instead of the source's (AdaBN, arXiv 1603.04779; measured as PreciseBN does, arXiv 2105.07576).

    ``shrinks``: towards the source's, by the numbers of images on both sides (Schneider et al., arXiv 2006.16971). ``early``: only
    this share of the batch norms, from the image on, because late ones also carry how many images are malignant (Vianna et al., 2023).
    """
    check_statistics(task, "adabn")
    network = task.own_network()
    with filters_frozen(network):
        source, target = own_statistics(network), measured_statistics(network, task.target, seed=task.seed)
        if shrinks:
            target = shrunk(source, target, len(task.source), len(task.target))
        put_statistics(network, earliest(target, early))
    return Adapted(FixedScorer(network), network, bank_of(network))


def shrunk(source: Statistics, target: Statistics, source_images: float, target_images: float) -> Statistics:
    """(N source + n target) / (N + n), mean and variance alike: the source for n = 0, the target for many."""
    share = target_images / (source_images + target_images)
    return {name: source[name].blended(target[name], share) for name in source}


def earliest(statistics: Statistics, share: float) -> Mapping[str, ChannelStatistics]:
    """The first ``share`` of the batch norms, in the order in which the network lists them, one at least."""
    return dict(list(statistics.items())[: max(1, round(share * len(statistics)))])
