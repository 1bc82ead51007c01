"""VinDr-Mammo 1.0.0 (PhysioNet, doi 10.13026/br2v-7517; Nguyen et al., Scientific Data 10, 277, 2023).

Access: PhysioNet credentialed account and data use agreement.

Files::

    breast-level_annotations.csv   study_id, image_id, laterality, view_position, breast_birads, split (and others)
    finding_annotations.csv        image_id, finding_birads, xmin, ymin, xmax, ymax (and others)
    metadata.csv                   SOP Instance UID (the image_id), Manufacturer, Manufacturer's Model Name (and others)
    images/<study_id>/<image_id>.dicom

Label: **BI-RADS, not pathology**. A breast assessed ``BI-RADS 4`` or ``5`` is malignant, ``1`` or ``2`` is negative, ``3`` is excluded.
Lesions: boxes of findings assessed 4 or 5, in pixels of the stored image. Splits: ``training`` and ``test`` as published; validation is
taken out of training. Domain: by manufacturer and model; here **the scanner predicts the label**.

Inferred: that an exam stands for a patient, since no table says which exams are of the same woman; that ``SOP Instance UID`` is the
``image_id``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dosremc_node.network.data.index import Box, Index, Split, largest
from dosremc_node.network.data.layouts.published import Candidate, Cells, box, domain_of, judged, laterality, read_table, view
from dosremc_node.records import ScannerKey
from dosremc_node.studies import DomainTable

NAME = "VinDr-Mammo"
PREFIX = "vindr"
ACCESS = "PhysioNet, credentialed account and data use agreement"
LABEL = "BI-RADS of the breast, no pathology: 4 and 5 malignant, 1 and 2 negative, 3 excluded"

_LABELS = {"BI-RADS 1": False, "BI-RADS 2": False, "BI-RADS 4": True, "BI-RADS 5": True}
_SPLITS = {"training": Split.TRAINING, "test": Split.TEST}
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_UNKNOWN = ScannerKey("", "", "")


def build(folder: Path, domains: DomainTable) -> Index:
    """The index of the data set in ``folder``; raises `UnknownLayout`."""
    return judged(_candidates(folder, domains), PREFIX)


def _candidates(folder: Path, domains: DomainTable) -> Iterator[Candidate]:
    scanners, lesions = _scanners(folder), _lesions(folder)
    columns = ("study_id", "image_id", "laterality", "view_position", "breast_birads", "split")
    for row in read_table(NAME, folder / "breast-level_annotations.csv", columns):
        study, image = row["study_id"], row["image_id"]
        malignant = _malignant(row)
        yield Candidate(
            path=folder / "images" / study / f"{image}.dicom",
            exam=study,
            patient=study,
            laterality=laterality(row["laterality"]),
            view=view(row["view_position"]),
            malignant=malignant,
            domain=domain_of(scanners.get(image, _UNKNOWN), domains, PREFIX),
            split=_SPLITS.get(row["split"]),
            lesion=largest(lesions.get(image, ())) if malignant is True else None,
        )


def _malignant(row: Cells) -> bool | str:
    birads = row["breast_birads"]
    return _LABELS.get(birads, f"The breast is assessed {birads or 'nothing'}: neither negative nor suspicious.")


def _scanners(folder: Path) -> Mapping[str, ScannerKey]:
    columns = ("SOP Instance UID", "Manufacturer", "Manufacturer's Model Name")
    table = read_table(NAME, folder / "metadata.csv", columns)
    return {row["SOP Instance UID"]: ScannerKey(row["Manufacturer"], row["Manufacturer's Model Name"], "") for row in table}


def _lesions(folder: Path) -> Mapping[str, Sequence[Box]]:
    boxes: dict[str, list[Box]] = defaultdict(list)
    for row in read_table(NAME, folder / "finding_annotations.csv", ("image_id", "finding_birads", *_EDGES)):
        found = box(*(row[edge] for edge in _EDGES))
        if found and _LABELS.get(row["finding_birads"]):
            boxes[row["image_id"]].append(found)
    return boxes
