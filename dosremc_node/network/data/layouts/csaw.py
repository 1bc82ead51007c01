"""CSAW-CC (SciLifeLab Data Repository, "CSAW-CC (mammography)"; Dembrower, Lindholm and Strand, J Digit Imaging 33, 2020, for the cohort).

Access: on request, data use agreement with Karolinska Institutet; research only.

Files::

    CSAW-CC_breast_cancer_screening_data.csv   one row an image
    any/folders/below/<anon_filename>          found by name; the archives unpack into several folders

Columns: ``anon_patientid``, ``exam_year``, ``x_case`` (1: the woman had a cancer in the study's time), ``x_cancer_laterality`` (Left, Right),
``rad_timing`` (1: found within 60 days of this exam, 2: an interval cancer before 730 days, 3: later), ``imagelaterality`` (Left, Right),
``viewposition``, ``anon_filename``.

Label: **pathology, through the cancer register**. The breast with the cancer is malignant in the exam at which it was found (timing 1).
The same breast in exams of timing 2 and 3 is excluded: whether anything could be seen then is not known. The other breast, and both
breasts of a woman without cancer, are negative. Lesions: no boxes. Splits: none; by patient. Domain: ``hologic``.

Inferred: that all images come from one maker (the cohort's description names Hologic, the table has no column of it); that an exam is a
patient and a year. Rows that repeat a side and view of an exam are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dosremc_node.network.data.index import Index
from dosremc_node.network.data.layouts.published import Candidate, Cells, judged, laterality, read_table, view
from dosremc_node.records import Domain
from dosremc_node.studies import DomainTable

NAME = "CSAW-CC"
PREFIX = "csaw"
ACCESS = "SciLifeLab Data Repository, on request, data use agreement"
LABEL = (
    "cancer register: the breast with the cancer, in the exam at which it was screen-detected; interval cancers and earlier exams excluded"
)

_TABLE = "CSAW-CC_breast_cancer_screening_data.csv"
_COLUMNS = (
    "anon_patientid", "exam_year", "x_case", "x_cancer_laterality", "rad_timing", "imagelaterality", "viewposition", "anon_filename",
)  # fmt: skip
_HOLOGIC = Domain("hologic")
_SCREEN_DETECTED = 1


def build(folder: Path, domains: DomainTable) -> Index:  # noqa: ARG001 - every layout is built the same way
    """The index of the data set in ``folder``; raises `UnknownLayout`."""
    return judged(_candidates(folder), PREFIX)


def _candidates(folder: Path) -> Iterator[Candidate]:
    table = list(read_table(NAME, folder / _TABLE, _COLUMNS))
    files = {path.name: path for path in folder.rglob("*.dcm")}
    for row in table:
        name = row["anon_filename"]
        yield Candidate(
            path=files.get(name, folder / name),
            exam=f"{row['anon_patientid']}-{row['exam_year']}",
            patient=row["anon_patientid"],
            laterality=laterality(row["imagelaterality"]),
            view=view(row["viewposition"]),
            malignant=_malignant(row),
            domain=_HOLOGIC,
        )


def _malignant(row: Cells) -> bool | str:
    if _number(row["x_case"]) != 1:
        return False
    sick = laterality(row["x_cancer_laterality"])
    if sick is None:
        return "A case without the side of its cancer."
    if laterality(row["imagelaterality"]) is not sick:
        return False
    if _number(row["rad_timing"]) != _SCREEN_DETECTED:
        return "The cancer was not found at this exam: whether it could be seen is not known."
    return True


def _number(text: str) -> int | None:
    """Whole numbers, which tools write as 1 or as 1.0."""
    try:
        return int(float(text))
    except ValueError:
        return None
