"""Domain banks: the source keeps its bank to the last bit, and every other domain gets one of its own."""

from __future__ import annotations

from dosremc_node.errors import DomainsNotTwo
from dosremc_node.network.banks import bank_of
from dosremc_node.network.domain_banks import DomainBanks
from dosremc_node.network.methods.fine_tuning import train_bank
from dosremc_node.network.methods.interface import Adapted, Task
from dosremc_node.network.methods.preconditions import check_statistics, target_labels
from dosremc_node.network.methods.scorers import BanksScorer
from dosremc_node.network.statistics import adapt_statistics


def domain_banks(task: Task, *, labels: bool = True) -> Adapted:
    """The target's bank has its own statistics and, with ``labels``, gamma, beta and fully connected layers learnt upon them (BNFC with
    the statistics held). Without, only the statistics, from images that nobody has judged yet.

    Filters are shared and never move, so the source's scores stay the same bits. A third domain is scored with the source's bank here;
    in service it is not scored. Raises `FiltersMoved`, `OtherBanksMoved`.
    """
    malignant = target_labels(task, "domain_banks") if labels else None
    check_statistics(task, "domain_banks")
    if task.source_domain == task.target_domain:
        raise DomainsNotTwo(domain=task.source_domain)
    network = task.own_network()
    banks = DomainBanks(network, {task.source_domain: bank_of(network)})
    banks.add(task.target_domain, like=task.source_domain)
    with banks.training(task.target_domain):
        if malignant is None:
            adapt_statistics(network, task.target, seed=task.seed)
        else:
            train_bank(network, task.target, malignant, task.plan, seed=task.seed, watch=task.watch)
    scorer = BanksScorer(banks, otherwise=task.source_domain)
    return Adapted(scorer, network, banks.bank(task.target_domain))
