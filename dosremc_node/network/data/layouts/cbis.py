"""CBIS-DDSM (TCIA, doi 10.7937/K9/TCIA.2016.7O02S9CY; Lee et al., Scientific Data 4, 170177, 2017). Digitised film.

Access: open, CC BY 3.0.

Files::

    mass_case_description_train_set.csv, mass_case_description_test_set.csv,
    calc_case_description_train_set.csv, calc_case_description_test_set.csv
    .../Mass-Training_P_00001_LEFT_CC/.../*.dcm     the whole image, the only file of its folder
    .../Mass-Training_P_00001_LEFT_CC_1/.../*.dcm   abnormality 1: its mask and its crop

Folders are found by these names wherever they lie below the data set's. Columns: ``patient_id``, ``left or right breast``, ``image view``,
``abnormality id``, ``pathology`` (MALIGNANT, BENIGN, BENIGN_WITHOUT_CALLBACK), ``image file path``, ``ROI mask file path``: of the paths only the
first folder is used, because the file names in them are not those that are downloaded, and mask and crop are often exchanged.

Label: **pathology**: a breast with a malignant abnormality is malignant, in both of its views. Every woman has a finding. Lesions: boxes
around the masks of malignant abnormalities; the mask is the file as large as the image. A mask of another size than its image (there
are some) gives no box. Splits: train and test as published; a woman who is in both (masses in one, calcifications in the other) is put
into test with all her images; validation is taken out of training. Domain: ``cbis-film``, since the headers name no digitiser.

Inferred: that a patient's images are one exam.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dosremc_node.errors import NodeError
from dosremc_node.imaging.decoders import read, stored_values
from dosremc_node.network.data.index import Box, Index, Split, largest
from dosremc_node.network.data.layouts.published import Candidate, Cells, judged, laterality, read_table, view
from dosremc_node.records import Domain, Laterality
from dosremc_node.studies import DomainTable, read_header

NAME = "CBIS-DDSM"
PREFIX = "cbis"
ACCESS = "TCIA, CC BY 3.0"
LABEL = "pathology of the breast: MALIGNANT malignant, BENIGN and BENIGN_WITHOUT_CALLBACK negative"

_TABLES = {
    f"{kind}_case_description_{name}_set.csv": split
    for kind in ("mass", "calc")
    for name, split in (("train", Split.TRAINING), ("test", Split.TEST))
}
_COLUMNS = ("patient_id", "left or right breast", "image view", "pathology", "image file path", "ROI mask file path")
_LABELS = {"MALIGNANT": True, "BENIGN": False, "BENIGN_WITHOUT_CALLBACK": False}
_FILM = Domain("cbis-film")
_Folders = Mapping[str, Sequence[Path]]


def build(folder: Path, domains: DomainTable) -> Index:  # noqa: ARG001 - every layout is built the same way
    """The index of the data set in ``folder``; raises `UnknownLayout`."""
    return judged(_candidates(folder), PREFIX)


@dataclass(frozen=True, slots=True)
class _Abnormality:
    """One row of the tables."""

    cells: Cells
    split: Split

    @property
    def breast(self) -> tuple[str, Laterality | None]:
        return self.cells["patient_id"], laterality(self.cells["left or right breast"])

    @property
    def malignant(self) -> bool | None:
        return _LABELS.get(self.cells["pathology"].upper())

    def folder(self, column: str) -> str:
        """The first folder of a path, which names the series."""
        return self.cells[column].replace("\\", "/").partition("/")[0]


def _candidates(folder: Path) -> Iterator[Candidate]:
    found = [_Abnormality(row, split) for table, split in _TABLES.items() for row in read_table(NAME, folder / table, _COLUMNS)]
    files = _files(folder)
    sick = {each.breast for each in found if each.malignant}
    labelled = {each.breast for each in found if each.malignant is not None}
    tested = {each.cells["patient_id"] for each in found if each.split is Split.TEST}
    images: dict[tuple[str, str], list[_Abnormality]] = defaultdict(list)
    for each in found:
        # An image with masses and calcifications is there twice, under both names: one of them is enough.
        images[each.cells["patient_id"], _side_and_view(each)].append(each)
    for (patient, _), abnormalities in images.items():
        first = abnormalities[0]
        path = _only(files, first.folder("image file path")) or folder / first.folder("image file path")
        yield Candidate(
            path=path,
            exam=patient,
            patient=patient,
            laterality=first.breast[1],
            view=view(first.cells["image view"]),
            malignant=first.breast in sick if first.breast in labelled else "No label.",
            domain=_FILM,
            split=Split.TEST if patient in tested else first.split,
            lesion=_lesion(path, [each for each in abnormalities if each.malignant], files),
        )


def _side_and_view(abnormality: _Abnormality) -> str:
    return f"{abnormality.cells['left or right breast']} {abnormality.cells['image view']}".upper()


def _files(folder: Path) -> _Folders:
    """The DICOM files of each series folder, by its name."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*.dcm")):
        for part in path.relative_to(folder).parts[:-1]:
            if part.startswith(("Mass-", "Calc-")):
                files[part].append(path)
    return files


def _only(files: _Folders, name: str) -> Path | None:
    return files[name][0] if len(files.get(name, ())) == 1 else None


def _lesion(image: Path, malignant: Sequence[_Abnormality], files: _Folders) -> Box | None:
    masks = [path for each in malignant for path in files.get(each.folder("ROI mask file path"), ())]
    if not masks:
        return None
    try:
        header = read_header(image)
    except (NodeError, OSError):  # it will be refused where it is prepared, with the reason
        return None
    return largest(box for path in masks if (box := _box_of_mask(path, (header.rows, header.columns))))


def _box_of_mask(path: Path, shape: tuple[int, int]) -> Box | None:
    """The box around what is marked; None where the file is the crop, of another size than the image, or cannot be read."""
    try:
        header = read_header(path)
        marked = stored_values(read(path)) > 0 if (header.rows, header.columns) == shape else np.zeros(shape, np.bool_)
    except NodeError:
        return None
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    if not rows.size:
        return None
    return Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
