"""The generator that needs images and no label: batch-norm statistics of a domain, from its consecutive screening exams.

One offline pass, a cumulative average in float64, drawn towards the statistics that it starts from: (N source + n target) / (N + n), mean
and variance alike (Wu and Johnson, arXiv 2105.07576; Schneider et al., arXiv 2006.16971). Exams that were chosen, such as the recalled,
have other statistics than screening has: so they must be consecutive.
"""

from __future__ import annotations

from dosremc_node.errors import ExamsNotConsecutive, TooFewExams
from dosremc_node.network.banks import filters_frozen
from dosremc_node.network.batches import Images
from dosremc_node.network.methods.statistics_only import earliest, shrunk
from dosremc_node.network.prediction import Network
from dosremc_node.network.statistics import measured_statistics, own_statistics, put_statistics
from dosremc_node.recalibration.change_plan import StatisticsPlan
from dosremc_node.recalibration.cohort import Cohort


def move_statistics(network: Network, images: Images, plan: StatisticsPlan, *, seed: int = 0) -> None:
    """Move the network's running means and variances to those of ``images``, as far as the plan says, in place.

    ``source_images`` of the plan is N: what the statistics in the network weigh. Late batch norms also carry how many images are malignant;
    with ``early`` below 1 they stay. Raises `NoBatchNorm`, `FiltersMoved`.
    """
    with filters_frozen(network):
        source, target = own_statistics(network), measured_statistics(network, images, seed=seed)
        put_statistics(network, earliest(shrunk(source, target, plan.source_images, len(images)), plan.early))


def check_consecutive(used: Cohort, taken: int, plan: StatisticsPlan) -> None:
    """``taken``: how many screening exams the domain's scanners took in the interval from which ``used`` are.

    Raises `TooFewExams`, and `ExamsNotConsecutive` where more are missing than the plan allows.
    """
    if len(used) < plan.exams:
        raise TooFewExams(what="interval whose statistics are to be measured", exams=len(used), needed=plan.exams)
    if taken - len(used) > plan.missing_share * taken:
        raise ExamsNotConsecutive(used=len(used), taken=taken, allowed=f"{plan.missing_share:.0%}")
