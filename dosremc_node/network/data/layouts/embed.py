"""EMBED, Emory Breast Imaging Dataset, open data release (Jeong et al., Radiology: Artificial Intelligence 5, 2023).

Access: AWS Open Data, on request, data use agreement; research only.

Files::

    tables/EMBED_OpenData_clinical.csv   one row a finding; or EMBED_OpenData_clinical_reduced.csv
    tables/EMBED_OpenData_metadata.csv   one row a file; or EMBED_OpenData_metadata_reduced.csv
    images/cohort_<n>/<patient>/<study>/<instance>.dcm   named by the part of anon_dicom_path that begins with ``cohort_``

Columns, clinical: ``empi_anon``, ``acc_anon``, ``asses`` (A, N, B, P, S, M, K for BI-RADS 0 to 6), ``side`` (L, R, B), ``bside`` (of the
tissue), ``path_severity`` (0 invasive, 1 in situ, 2 high risk, 3 borderline, 4 benign, 5 normal tissue, 6 another cancer). Metadata:
``anon_dicom_path``, ``empi_anon``, ``acc_anon``, ``ImageLateralityFinal``, ``ViewPosition``, ``FinalImageType``, ``spot_mag``,
``ROI_coords`` (lists of ymin, xmin, ymax, xmax), ``Manufacturer``, ``ManufacturerModelName``.

Label: **pathology where there is tissue, BI-RADS where there is none**. A breast with a severity of 0 or 1 in this exam is malignant; one
with 2 to 5 is negative; one without tissue is negative where every finding of its side is assessed N or B, and excluded otherwise: a
recall without an answer in the same exam. Severity 6 is excluded. So are synthetic (C-view) and spot or magnification images.
Lesions: the regions that readers marked, taken for the cancer where the breast has one. Splits: none; by patient. Domain: by scanner.

Inferred: that a finding without a side, or with side B, is said of both; that the region of a malignant breast is the malignant one.
A cancer proven after a *diagnostic* exam stands in that exam alone, so its screening exam is excluded as a recall.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dosremc_node.network.data.index import Box, Index, largest
from dosremc_node.network.data.layouts.published import Candidate, Cells, box, domain_of, judged, laterality, read_table, view
from dosremc_node.records import NotAssessedReason, ScannerKey
from dosremc_node.studies import DomainTable

NAME = "EMBED"
PREFIX = "embed"
ACCESS = "AWS Open Data, on request, data use agreement"
LABEL = "pathology where there is tissue (invasive or in situ: malignant); else BI-RADS 1 and 2 negative, other assessments excluded"

_CLINICAL = ("acc_anon", "asses", "side", "bside", "path_severity")
_METADATA = (
    "anon_dicom_path", "empi_anon", "acc_anon", "ImageLateralityFinal", "ViewPosition", "FinalImageType", "spot_mag", "ROI_coords",
    "Manufacturer", "ManufacturerModelName",
)  # fmt: skip
_MALIGNANT, _NO_CANCER, _ANOTHER_CANCER = {0.0, 1.0}, {2.0, 3.0, 4.0, 5.0}, 6.0
_NOTHING_FOUND = {"N", "B"}
_Findings = Mapping[tuple[str, str], Sequence[Cells]]


def build(folder: Path, domains: DomainTable) -> Index:
    """The index of the data set in ``folder``; raises `UnknownLayout`."""
    return judged(_candidates(folder, domains), PREFIX)


def _candidates(folder: Path, domains: DomainTable) -> Iterator[Candidate]:
    findings = _findings(folder)
    for row in read_table(NAME, _table(folder, "metadata"), _METADATA):
        malignant = _why_special(row) or _malignant(findings.get((row["acc_anon"], row["ImageLateralityFinal"]), ()))
        yield Candidate(
            path=_path(folder, row["anon_dicom_path"]),
            exam=row["acc_anon"],
            patient=row["empi_anon"],
            laterality=laterality(row["ImageLateralityFinal"]),
            view=view(row["ViewPosition"]),
            malignant=malignant,
            domain=domain_of(ScannerKey(row["Manufacturer"], row["ManufacturerModelName"], ""), domains, PREFIX),
            lesion=largest(_boxes(row["ROI_coords"])) if malignant is True else None,
        )


def _table(folder: Path, kind: str) -> Path:
    whole = folder / "tables" / f"EMBED_OpenData_{kind}.csv"
    reduced = folder / "tables" / f"EMBED_OpenData_{kind}_reduced.csv"
    return reduced if reduced.is_file() and not whole.is_file() else whole


def _path(folder: Path, named: str) -> Path:
    """The published paths begin with folders of the hospital's."""
    return folder / "images" / named[max(0, named.find("cohort_")) :].lstrip("/")


def _findings(folder: Path) -> _Findings:
    """The findings of each breast, by exam and side."""
    found: dict[tuple[str, str], list[Cells]] = defaultdict(list)
    for row in read_table(NAME, _table(folder, "clinical"), _CLINICAL):
        said_of = row["bside"] if row["path_severity"] and row["bside"] in ("L", "R") else row["side"]
        for side in ("L", "R"):
            if said_of in (side, "B", ""):
                found[row["acc_anon"], side].append(row)
    return found


def _why_special(row: Cells) -> str | None:
    if row["FinalImageType"] != "2D":
        return NotAssessedReason.SYNTHETIC
    return NotAssessedReason.SPOT if row["spot_mag"] in ("1", "1.0") else None


def _malignant(findings: Sequence[Cells]) -> bool | str:
    severities = {float(row["path_severity"]) for row in findings if re.fullmatch(r"[0-6](\.0)?", row["path_severity"])}
    if severities & _MALIGNANT:
        return True
    if _ANOTHER_CANCER in severities:
        return "A cancer of another organ."
    if severities & _NO_CANCER:
        return False
    if findings and all(row["asses"] in _NOTHING_FOUND for row in findings):
        return False
    return "Recalled or not assessed, without pathology in this exam."


def _boxes(text: str) -> Iterator[Box]:
    numbers = re.findall(r"\d+(?:\.\d+)?", text)
    for start in range(0, len(numbers) - 3, 4):
        top, left, bottom, right = numbers[start : start + 4]
        found = box(left, top, right, bottom)
        if found:
            yield found
