"""The published data sets that an index can be built of, a file each: what lies where, what a label means, who may have it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from dosremc_node.network.data.index import Index
from dosremc_node.network.data.layouts import cbis, cmmd, csaw, embed, rsna, vindr
from dosremc_node.network.data.splitting import assign_splits
from dosremc_node.studies import DomainTable

LAYOUTS: dict[str, ModuleType] = {module.PREFIX: module for module in (vindr, csaw, cbis, rsna, embed, cmmd)}
"""Each has ``NAME``, ``PREFIX``, ``ACCESS``, ``LABEL``, a docstring that describes the layout, and ``build(folder, domains)``."""


def build_index(layout: str, folder: Path, domains: DomainTable, seed: int) -> Index:
    """The index of a data set as it was published, every patient in one split.

    ``layout`` is a key of `LAYOUTS`; ``domains`` tells which scanners share a bank. Raises `UnknownLayout`, `PatientInTwoSplits`.
    """
    index: Index = LAYOUTS[layout].build(folder, domains)
    return assign_splits(index, seed)
