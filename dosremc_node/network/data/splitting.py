"""Splits where a data set brings none, or no validation split: by patient, seeded, with as many malignant ones everywhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dosremc_node.network.data.index import Index, IndexRow, Split, check_patients
from dosremc_node.records import Domain

Shares = Mapping[Split, float]
SHARES: Shares = {Split.TRAINING: 0.7, Split.VALIDATION: 0.15, Split.TEST: 0.15}
_Stratum = tuple[Domain, bool]


def assign_splits(index: Index, seed: int, shares: Shares = SHARES) -> Index:
    """Give every patient a split. What the data set has published stays, but for a validation split that is taken out of its training
    split where it has none. Raises `PatientInTwoSplits` where the published splits share a woman.

    All images of a patient go together. In each stratum (domain, any malignant breast) and over all of them the splits come as close to
    ``shares`` as whole patients allow; the same seed gives the same splits, whatever the order of the rows.
    """
    check_patients(index.rows)
    published = {row.split for row in index.rows}
    chosen = _chosen([row for row in index.rows if row.split is None], seed, shares)
    if Split.TRAINING in published and Split.VALIDATION not in published:
        learning = {split: shares[split] for split in (Split.TRAINING, Split.VALIDATION)}
        chosen |= _chosen([row for row in index.rows if row.split is Split.TRAINING], seed, learning)
    rows = tuple(replace(row, split=chosen.get(row.patient, row.split)) for row in index.rows)
    return replace(index, rows=rows)


def _chosen(rows: Sequence[IndexRow], seed: int, shares: Shares) -> dict[str, Split]:
    """A split for each patient of ``rows``: stratum after stratum, each woman goes to the split that lacks most."""
    random = np.random.default_rng(seed)
    given: Counter[Split] = Counter()
    chosen: dict[str, Split] = {}
    for patients in _strata(rows):
        for place in random.permutation(len(patients)):
            lacks = {split: share / sum(shares.values()) * (len(chosen) + 1) - given[split] for split, share in shares.items()}
            chosen[patients[place]] = split = max(lacks, key=lambda each: lacks[each])
            given[split] += 1
    return chosen


def _strata(rows: Sequence[IndexRow]) -> list[list[str]]:
    """The patients of each domain and label, in an order that does not depend on that of the rows."""
    of_patient: dict[str, _Stratum] = {}
    for row in sorted(rows, key=lambda row: (row.domain, row.malignant)):
        domain, malignant = of_patient.get(row.patient, (row.domain, False))
        of_patient[row.patient] = (domain, malignant or row.malignant)
    strata = defaultdict(list)
    for patient, stratum in sorted(of_patient.items()):
        strata[stratum].append(patient)
    return list(strata.values())
