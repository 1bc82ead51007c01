"""What an index holds, and whether the scanner alone tells the label: to be read before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosremc_node.network.data.index import Index, IndexRow, Split
from dosremc_node.records import Domain

TELLING_AUC = 0.55
TELLING_V = 0.1
"""Where confounding is warned of. Cramer's V of .1 is what Cohen (1988) calls a small effect."""


@dataclass(frozen=True, slots=True)
class Balance:
    """How much of a domain is in a split, and how much of it is malignant (breasts)."""

    split: Split
    domain: Domain
    patients: int
    exams: int
    breasts: int
    malignant: int
    images: int
    lesions: int

    @property
    def malignant_share(self) -> float:
        return self.malignant / self.breasts


@dataclass(frozen=True, slots=True)
class Confounding:
    """How well the domain alone predicts the label of a split's breasts.

    ``auc`` is that of the domain's own share of malignant breasts taken as a score (.5: it tells nothing); ``cramers_v`` (0 to 1) is the
    association of domain and label, the root of Pearson's chi squared over the number of breasts.
    """

    split: Split
    domains: int
    auc: float
    cramers_v: float

    @property
    def warning(self) -> str | None:
        """A sentence for who is about to train, None where there is nothing to warn of."""
        if self.auc < TELLING_AUC and self.cramers_v < TELLING_V:
            return None
        return (
            f"In the {self.split} split the domain alone predicts the label (AUC {self.auc:.2f}, Cramer's V {self.cramers_v:.2f}): a network "
            "may learn the scanner in place of the lesion. Judge each domain by itself, and balance the classes within each domain."
        )


def balance(index: Index) -> list[Balance]:
    """One entry for each split and domain that has images."""
    kinds = [(split, domain) for split in Split for domain in index.domains]
    return [_balance(split, domain, rows) for split, domain in kinds if (rows := index.of(split, domain))]


def confounding(index: Index) -> list[Confounding]:
    """One entry for each split that has both classes."""
    found = []
    for split in Split:
        table = _table(index.of(split))
        if (table.sum(axis=0) > 0).all():
            found.append(Confounding(split, len(table), _auc(table), _cramers_v(table)))
    return found


def _balance(split: Split, domain: Domain, rows: tuple[IndexRow, ...]) -> Balance:
    return Balance(
        split=split,
        domain=domain,
        patients=len({row.patient for row in rows}),
        exams=len({row.exam for row in rows}),
        breasts=len({row.breast for row in rows}),
        malignant=len({row.breast for row in rows if row.malignant}),
        images=len(rows),
        lesions=sum(row.lesion is not None for row in rows),
    )


def _table(rows: Iterable[IndexRow]) -> NDArray[np.float64]:
    """Breasts by domain (rows) and label (negative, malignant)."""
    labels: dict[tuple[Domain, str, str], bool] = {}
    for row in rows:
        labels[row.breast] = labels.get(row.breast, False) or row.malignant
    domains = sorted({domain for domain, _, _ in labels})
    table = np.zeros((len(domains), 2))
    for (domain, _, _), malignant in labels.items():
        table[domains.index(domain), int(malignant)] += 1
    return table


def _auc(table: NDArray[np.float64]) -> float:
    """The share of pairs (a negative and a malignant breast) that the domains' shares of malignant breasts put in order, ties half."""
    share = table[:, 1] / table.sum(axis=1)
    in_order = (share[None, :] > share[:, None]) + 0.5 * (share[None, :] == share[:, None])
    return float(table[:, 0] @ in_order @ table[:, 1] / (table[:, 0].sum() * table[:, 1].sum()))


def _cramers_v(table: NDArray[np.float64]) -> float:
    total = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / total))
