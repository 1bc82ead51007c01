"""CMMD, the Chinese Mammography Database (TCIA, doi 10.7937/tcia.eqde-4b16; Cui et al., 2021).

Access: open, CC BY 4.0.

Files::

    CMMD_clinicaldata_revision.csv   the published .xlsx, its one sheet saved as CSV
    CMMD/<ID1>/.../*.dcm             as the NBIA Data Retriever writes it; any folders below are fine

Columns: ``ID1`` (the Patient ID of the headers), ``LeftRight`` (L, R), ``abnormality``, ``classification`` (Benign, Malignant) (and others).
One row a breast; side, view and scanner stand in the headers, which are read here.

Label: **pathology**: every row is proven by biopsy. A breast without a row is excluded. There are no women without findings, so prevalence
and specificity say nothing of screening. Lesions: no boxes. Splits: none; by patient. Domain: by scanner.

Inferred: that a patient's images are one exam; that the other breast of a woman, where it has images and no row, has no known outcome.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dosremc_node.errors import NotDicom
from dosremc_node.network.data.index import Excluded, Index
from dosremc_node.network.data.layouts.published import Candidate, domain_of, judged, laterality, read_table
from dosremc_node.records import ImageHeader, Laterality
from dosremc_node.studies import DomainTable, read_header

NAME = "CMMD"
PREFIX = "cmmd"
ACCESS = "TCIA, CC BY 4.0"
LABEL = "pathology of the breast; breasts without a biopsy excluded"

_TABLE = "CMMD_clinicaldata_revision.csv"
_Labels = Mapping[tuple[str, Laterality], bool]


def build(folder: Path, domains: DomainTable) -> Index:
    """The index of the data set in ``folder``; raises `UnknownLayout`."""
    labels = _labels(folder)
    headers, unreadable = _headers(folder)
    index = judged(_candidates(headers, labels, domains), PREFIX)
    return Index(index.rows, (*unreadable, *index.excluded))


def _candidates(headers: Mapping[Path, ImageHeader], labels: _Labels, domains: DomainTable) -> Iterator[Candidate]:
    for path, header in headers.items():
        patient = header.who.patient_id
        yield Candidate(
            path=path,
            exam=patient,
            patient=patient,
            laterality=header.laterality,
            view=header.view,
            malignant=_malignant(header, labels),
            domain=domain_of(header.scanner, domains, PREFIX),
        )


def _malignant(header: ImageHeader, labels: _Labels) -> bool | str:
    if header.laterality is None:
        return "No label."
    return labels.get((header.who.patient_id, header.laterality), "The breast has no biopsy.")


def _labels(folder: Path) -> _Labels:
    """By patient and side; a breast with a malignant and a benign row is malignant."""
    labels: dict[tuple[str, Laterality], bool] = {}
    for row in read_table(NAME, folder / _TABLE, ("ID1", "LeftRight", "classification")):
        side, found = laterality(row["LeftRight"]), row["classification"].lower()
        if side is not None and found in ("benign", "malignant"):
            labels[row["ID1"], side] = labels.get((row["ID1"], side), False) or found == "malignant"
    return labels


def _headers(folder: Path) -> tuple[dict[Path, ImageHeader], list[Excluded]]:
    headers, unreadable = {}, []
    for path in sorted(folder.rglob("*.dcm")):
        try:
            headers[path] = read_header(path)
        except NotDicom as error:
            unreadable.append(Excluded(path, str(error)))
    return headers, unreadable
