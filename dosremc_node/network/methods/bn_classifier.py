"""The BN classifier: batch norm on the output as well, before it becomes a probability.

Behrend and Robinson, "A batch normalization classifier for domain adaptation" (arXiv 2103.11642).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from dosremc_node.network.banks import bank_of, filters_frozen
from dosremc_node.network.batches import Chosen
from dosremc_node.network.methods.fine_tuning import labelled_loss
from dosremc_node.network.methods.interface import Adapted, Task
from dosremc_node.network.methods.preconditions import check_source, check_statistics
from dosremc_node.network.methods.scorers import FixedScorer
from dosremc_node.network.prediction import Network, Prediction
from dosremc_node.network.scoring import logits
from dosremc_node.network.statistics import adapt_statistics
from dosremc_node.network.training import Moment, StepLoss, fit


class OutputNormalised(Network):
    """A network whose logit is normalised too. With two classes and one logit that is the soft-max of two normalised outputs."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.output = nn.BatchNorm1d(1).to(next(network.parameters()).device)

    def forward(self, images: Tensor) -> Prediction:
        prediction = self.network(images)
        return replace(prediction, logits=self.output(prediction.logits[:, None])[:, 0])


def bn_classifier(task: Task) -> Adapted:
    """Learn a bank with a normalised output from the source's labels, then take the target's statistics, the output's among them.

    With fixed statistics the output's norm is one line per domain: within a domain it changes no ranking beyond what learning with
    it did, it moves the threshold and the calibration. Its mean and spread carry the target's prevalence: at 0.5 % malignant it gives
    the benign the answers that the source's average image had, so a threshold from an enriched source calls far too many.
    The bank has everything but the output's norm, which belongs into slope and intercept of the domain's operating point.
    """
    check_statistics(task, "bn_classifier")
    check_source(task, "bn_classifier")
    network = OutputNormalised(task.own_network())
    with filters_frozen(network) as learning:
        fit(network, learning, _source_loss(network, task), len(task.target), task.plan, seed=task.seed, watch=task.watch)
        adapt_output(network, task)
    return Adapted(FixedScorer(network), network, bank_of(network.network))


def adapt_output(network: OutputNormalised, task: Task) -> None:
    """The target's statistics: those of the layers first, then, through them, those of the logit."""
    adapt_statistics(network.network, task.target, seed=task.seed)
    scores = torch.from_numpy(logits(network.network, task.target))
    network.output.load_state_dict(
        network.output.state_dict() | {"running_mean": scores.mean()[None], "running_var": scores.var(correction=0)[None]}
    )


def _source_loss(network: Network, task: Task) -> StepLoss:
    def loss(chosen: Chosen, moment: Moment) -> Tensor:
        drawn = moment.random.integers(0, len(task.source), len(chosen))
        return labelled_loss(network, task.source.batch(drawn), np.asarray(task.source.malignant[drawn]), moment)

    return loss
