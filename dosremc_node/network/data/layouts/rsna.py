"""RSNA Screening Mammography Breast Cancer Detection 2023 (Kaggle competition ``rsna-breast-cancer-detection``).

Access: Kaggle account, the competition's rules; non-commercial use.

Files::

    train.csv                                  one row an image
    train_images/<patient_id>/<image_id>.dcm   DICOM; sets that were converted to PNG cannot be used

Columns: ``site_id``, ``patient_id``, ``image_id``, ``laterality``, ``view``, ``cancer``, ``implant``, ``machine_id`` (and others).

Label: **pathology**: ``cancer`` is 1 for a breast with a proven cancer. Excluded: views other than CC and MLO, and women with
``implant`` 1, because their headers do not tell displaced views from others. Lesions: no boxes. Splits: none for which labels are
published; by patient. Domain: ``rsna-machine-<machine_id>``, a machine of unknown make.

Inferred: that a patient's images are one exam (no table tells exams apart). The headers lack modality, view and side: the table's hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dosremc_node.network.data.index import Index
from dosremc_node.network.data.layouts.published import Candidate, Cells, judged, laterality, read_table, view
from dosremc_node.records import Domain
from dosremc_node.studies import DomainTable

NAME = "RSNA 2023"
PREFIX = "rsna"
ACCESS = "Kaggle, the competition's rules, non-commercial"
LABEL = "pathology of the breast: cancer 1 malignant, 0 negative; women with implants excluded"

_COLUMNS = ("patient_id", "image_id", "laterality", "view", "cancer", "implant", "machine_id")
_LABELS = {"1": True, "0": False}


def build(folder: Path, domains: DomainTable) -> Index:  # noqa: ARG001 - every layout is built the same way
    """The index of the data set in ``folder``; raises `UnknownLayout`."""
    return judged(_candidates(folder), PREFIX)


def _candidates(folder: Path) -> Iterator[Candidate]:
    for row in read_table(NAME, folder / "train.csv", _COLUMNS):
        yield Candidate(
            path=folder / "train_images" / row["patient_id"] / f"{row['image_id']}.dcm",
            exam=row["patient_id"],
            patient=row["patient_id"],
            laterality=laterality(row["laterality"]),
            view=view(row["view"]),
            malignant=_malignant(row),
            domain=Domain(f"rsna-machine-{row['machine_id'] or 'unknown'}"),
        )


def _malignant(row: Cells) -> bool | str:
    if row["implant"] == "1":
        return "An implant: displaced views cannot be told from others."
    return _LABELS.get(row["cancer"], "No label.")
