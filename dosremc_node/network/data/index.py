"""The index table: one row for every image that may be learnt from, whichever data set it comes from.

As a CSV file it has the columns ``path, exam, patient, laterality, view, label, domain, split, lesion``. Paths are relative to the file's own
folder, so that a data set and its index can be moved together. ``exam`` and ``patient`` are the data set's own pseudonyms.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dosremc_node.errors import PatientInTwoSplits, WrongIndex
from dosremc_node.records import Domain, Laterality, View

COLUMNS = ("path", "exam", "patient", "laterality", "view", "label", "domain", "split", "lesion")
MALIGNANT, NEGATIVE = "malignant", "negative"


class Split(StrEnum):
    """What an image may be used for: to learn from, to choose by, or to be measured on once."""

    TRAINING = "training"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Box:
    """Where a lesion lies, in pixels of the stored image (see `records`); ``right`` and ``bottom`` are just beyond it."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One image. ``malignant`` is said of the breast, by the definition of its data set; ``lesion`` is the largest malignant one that is
    marked on this image, None where there is none or nobody marked it. ``split`` is None until `assign_splits`.
    """

    path: Path
    exam: str
    patient: str
    laterality: Laterality
    view: View
    malignant: bool
    domain: Domain
    split: Split | None = None
    lesion: Box | None = None

    @property
    def breast(self) -> tuple[Domain, str, Laterality]:
        """What this image shares with the other views of the same breast in the same exam."""
        return (self.domain, self.exam, self.laterality)


@dataclass(frozen=True, slots=True)
class Excluded:
    """An image that is not learnt from, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Index:
    """The images of one or more data sets, and those that were left out."""

    rows: tuple[IndexRow, ...]
    excluded: tuple[Excluded, ...] = ()

    def of(self, split: Split, domain: Domain | None = None) -> tuple[IndexRow, ...]:
        """The rows of a split, of one domain where one is named."""
        return tuple(row for row in self.rows if row.split is split and domain in (None, row.domain))

    @property
    def domains(self) -> tuple[Domain, ...]:
        return tuple(sorted({row.domain for row in self.rows}))


def largest(boxes: Iterable[Box]) -> Box | None:
    """The box of the largest area; None where there is none."""
    return max(boxes, key=lambda box: box.area, default=None)


def check_patients(rows: Iterable[IndexRow]) -> None:
    """Raise `PatientInTwoSplits` where a woman is in more than one: a model would be tested on what it has seen.

    Patients of different domains of one index may share a pseudonym only if they are the same woman.
    """
    first: dict[str, tuple[int, Split | None]] = {}
    for number, row in enumerate(rows, start=1):
        earlier, split = first.setdefault(row.patient, (number, row.split))
        if split is not row.split:
            raise PatientInTwoSplits(row=number, split=row.split, earlier=earlier, earlier_split=split)


def write_index(index: Index, file: Path) -> None:
    """Write the rows as CSV, and what was left out beside it as ``<name>.excluded.csv``."""
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, COLUMNS, (_cells(row, file.parent) for row in index.rows))
    excluded = ((_relative(each.path, file.parent), each.reason) for each in index.excluded)
    _write(file.with_name(f"{file.stem}.excluded.csv"), ("path", "reason"), excluded)


def read_index(*files: Path) -> Index:
    """Read one or more index files as one. Raises `WrongIndex` with file, line and column, and `PatientInTwoSplits`."""
    rows = [row for file in files for row in _rows(file)]
    check_patients(rows)
    return Index(tuple(rows))


def _write(file: Path, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)


def _cells(row: IndexRow, folder: Path) -> tuple[str, ...]:
    label = MALIGNANT if row.malignant else NEGATIVE
    lesion = " ".join(f"{edge:g}" for edge in (row.lesion.left, row.lesion.top, row.lesion.right, row.lesion.bottom)) if row.lesion else ""
    return (_relative(row.path, folder), row.exam, row.patient, row.laterality, row.view, label, row.domain, row.split or "", lesion)


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _rows(file: Path) -> Iterable[IndexRow]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if missing := sorted(set(COLUMNS[:-1]) - set(reader.fieldnames or ())):
                raise WrongIndex(file=file, line=1, column=missing[0], expected="this column to be there")
            yield from (_row({**dict.fromkeys(COLUMNS, ""), **cells}, file, reader.line_num) for cells in reader)
    except (OSError, UnicodeDecodeError, csv.Error):
        raise WrongIndex(file=file, line=1, column="path", expected="a CSV file that can be read") from None


def _row(cells: Mapping[str, str | None], file: Path, line: int) -> IndexRow:
    texts = {column: (cells[column] or "").strip() for column in COLUMNS}
    for column in ("path", "exam", "patient", "domain"):
        if not texts[column]:
            raise WrongIndex(file=file, line=line, column=column, expected="a value")
    allowed = {"laterality": Laterality, "view": View, "label": (MALIGNANT, NEGATIVE), "split": Split}
    for column, values in allowed.items():
        if texts[column] not in tuple(values):
            raise WrongIndex(file=file, line=line, column=column, expected=" or ".join(values))
    return IndexRow(
        path=file.parent / texts["path"],
        exam=texts["exam"],
        patient=texts["patient"],
        laterality=Laterality(texts["laterality"]),
        view=View(texts["view"]),
        malignant=texts["label"] == MALIGNANT,
        domain=Domain(texts["domain"]),
        split=Split(texts["split"]),
        lesion=_box(texts["lesion"], file, line),
    )


def _box(text: str, file: Path, line: int) -> Box | None:
    if not text:
        return None
    try:
        box = Box(*(float(edge) for edge in text.split()))
    except (TypeError, ValueError):
        box = Box(0, 0, 0, 0)
    if not (box.left < box.right and box.top < box.bottom):
        raise WrongIndex(file=file, line=line, column="lesion", expected="nothing, or left, top, right and bottom in pixels")
    return box
