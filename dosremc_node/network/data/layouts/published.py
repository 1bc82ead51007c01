"""What the readers of published layouts share: tables with named columns, and how an image becomes a row of the index or is left out."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dosremc_node.errors import UnknownLayout
from dosremc_node.network.data.index import Box, Excluded, Index, IndexRow, Split
from dosremc_node.records import Domain, Laterality, NotAssessedReason, ScannerKey, View
from dosremc_node.studies import DomainTable

Cells = Mapping[str, str]

NOT_THERE = "The file is not there."
_SIDES = {"L": Laterality.LEFT, "LEFT": Laterality.LEFT, "R": Laterality.RIGHT, "RIGHT": Laterality.RIGHT}
_LONGEST_DOMAIN = 32


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image as its data set describes it. ``malignant`` is a sentence where the data set's label says neither."""

    path: Path
    exam: str
    patient: str
    laterality: Laterality | None
    view: View | None
    malignant: bool | str
    domain: Domain
    split: Split | None = None
    lesion: Box | None = None


def judged(candidates: Iterable[Candidate], prefix: str) -> Index:
    """Those that can be learnt from, and the others with the reason. ``prefix`` keeps the pseudonyms of different data sets apart."""
    rows: list[IndexRow] = []
    excluded: list[Excluded] = []
    for candidate in candidates:
        found = _judged(candidate, prefix)
        if isinstance(found, IndexRow):
            rows.append(found)
        else:
            excluded.append(found)
    return Index(tuple(rows), tuple(excluded))


def read_table(dataset: str, file: Path, columns: Sequence[str]) -> Iterator[Cells]:
    """The rows of a published CSV file by column, values stripped; raises `UnknownLayout` where the file or a column is missing."""
    if not file.is_file():
        raise UnknownLayout(folder=file.parent, dataset=dataset, why=f"there is no {file.name}")
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if missing := sorted(set(columns) - set(reader.fieldnames or ())):
                raise UnknownLayout(folder=file.parent, dataset=dataset, why=f"{file.name} has no column {missing[0]!r}")
            for row in reader:
                yield {column: (row[column] or "").strip() for column in columns}
    except (UnicodeDecodeError, csv.Error):
        raise UnknownLayout(folder=file.parent, dataset=dataset, why=f"{file.name} is no CSV file in UTF-8") from None


def laterality(text: str) -> Laterality | None:
    """A side as any of the data sets writes it."""
    return _SIDES.get(text.upper())


def view(text: str) -> View | None:
    """A view by its DICOM code value; None for what is none."""
    return next((each for each in View if each == text.upper()), None)


def box(left: str, top: str, right: str, bottom: str) -> Box | None:
    """A box from the texts of its edges; None where one of them is no number, or nothing is inside."""
    try:
        found = Box(float(left), float(top), float(right), float(bottom))
    except ValueError:
        return None
    return found if found.left < found.right and found.top < found.bottom else None


def domain_of(scanner: ScannerKey, domains: DomainTable, prefix: str) -> Domain:
    """The scanner's domain by the node's own rules. Where none fits: its manufacturer's name, or ``<prefix>-unknown`` without one."""
    known = domains.domain_of(scanner)
    if known is not None:
        return known
    words = "-".join(re.findall(r"[a-z0-9]+", scanner.manufacturer.lower()))
    return Domain((words or f"{prefix}-unknown")[:_LONGEST_DOMAIN].strip("-"))


def _judged(candidate: Candidate, prefix: str) -> IndexRow | Excluded:
    if candidate.view is None:
        return Excluded(candidate.path, NotAssessedReason.UNKNOWN_VIEW)
    if candidate.view not in (View.CC, View.MLO):
        return Excluded(candidate.path, NotAssessedReason.OTHER_VIEW)
    if candidate.laterality is None:
        return Excluded(candidate.path, NotAssessedReason.UNKNOWN_LATERALITY)
    if isinstance(candidate.malignant, str):
        return Excluded(candidate.path, candidate.malignant)
    if not candidate.path.is_file():
        return Excluded(candidate.path, NOT_THERE)
    return IndexRow(
        path=candidate.path,
        exam=f"{prefix}:{candidate.exam}",
        patient=f"{prefix}:{candidate.patient}",
        laterality=candidate.laterality,
        view=candidate.view,
        malignant=candidate.malignant,
        domain=candidate.domain,
        split=candidate.split,
        lesion=candidate.lesion,
    )
