"""Every method by name: the rows of the table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from dosremc_node.network.methods.batch_blend import alpha_bn, batch_statistics_only
from dosremc_node.network.methods.bn_classifier import bn_classifier
from dosremc_node.network.methods.dann import dann, dann_bnfc, dann_domain_bn
from dosremc_node.network.methods.fine_tuning import bn_only, bnfc, full, joint
from dosremc_node.network.methods.interface import Method
from dosremc_node.network.methods.own_banks import domain_banks
from dosremc_node.network.methods.statistics_only import adabn, unadapted
from dosremc_node.network.methods.tent import tent
from dosremc_node.network.methods.ttn import ttn

DOSREMC, ADABN = "arXiv 2508.15452", "arXiv 1603.04779"

METHODS: Mapping[str, Method] = MappingProxyType({
    "unadapted": Method("Trained on the source, not adapted", "", unadapted),
    "batch_statistics_8": Method("Statistics of the test batch, 8 images", "arXiv 2006.10963", batch_statistics_only),
    "batch_statistics_64": Method("Statistics of the test batch, 64 images", "arXiv 2006.10963", partial(batch_statistics_only, batch=64)),
    "adabn": Method("AdaBN (PreciseBN)", ADABN, adabn),
    "adabn_shrunk": Method("AdaBN, shrunk to the source", "arXiv 2006.16971", partial(adabn, shrinks=True), needs_source=True),
    "adabn_early": Method("AdaBN, early half of the layers", "Vianna et al. 2023", partial(adabn, early=0.5)),
    "alpha_bn": Method("alpha-BN, half batch, half source", "arXiv 2110.04065", alpha_bn),
    "ttn": Method("TTN", "arXiv 2302.05155", ttn, needs_source=True),
    "bn_classifier": Method("BN classifier", "arXiv 2103.11642", bn_classifier, needs_source=True),
    "tent": Method("TENT", "arXiv 2006.10726", tent),
    "bn_only": Method("Batch norm alone, filters and FC frozen", "", bn_only, needs_labels=True),
    "bnfc": Method("BNFC", DOSREMC, bnfc, needs_labels=True),
    "bnfc_held": Method("BNFC, statistics measured and held", "", partial(bnfc, statistics_move=False), needs_labels=True),
    "full": Method("Full fine-tuning", "", full, needs_labels=True),
    "joint": Method("Source and target jointly", DOSREMC, joint, needs_labels=True, needs_source=True),
    "dann": Method("DANN, all parameters", "arXiv 1505.07818", dann, needs_source=True),
    "dann_bnfc": Method("DANN with BNFC (DA_BNFC)", DOSREMC, dann_bnfc, needs_source=True),
    "dann_domain_bn": Method("DANN with BNFC, a batch norm per domain", "arXiv 1906.03950", dann_domain_bn, needs_source=True),
    "domain_banks": Method("A bank per domain", "", domain_banks, needs_labels=True),
    "domain_banks_unlabelled": Method("A bank per domain, statistics alone", "", partial(domain_banks, labels=False)),
})  # fmt: skip
