"""Published data sets in miniature: their folders, their tables with the published headers, and simulated images in place of the women's."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dosremc_node.records import Laterality, View
from dosremc_node.simulation import SCREENING_VIEWS, VENDORS, Order, SimulatedImage, simulate_view

PITCH_MM = 0.8
FOUR_VIEWS = SCREENING_VIEWS


@cache
def picture(vendor: str, seed: int, laterality: Laterality, view: View, malignant: Laterality | None = None) -> SimulatedImage:
    """A coarse simulated image, quickly made."""
    return simulate_view(Order(seed, VENDORS[vendor], malignant, PITCH_MM / VENDORS[vendor].pitch_mm), laterality, view)


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_table(file: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """A CSV file; columns that a row does not name stay empty."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def changed(content: bytes, **values: object) -> bytes:
    """The file with some elements set, or removed where the value is None."""
    dataset = dcmread(BytesIO(content))
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            del dataset[keyword]
    return _saved(dataset)


def mask_of(content: bytes, box: tuple[int, int, int, int] | None, shape: tuple[int, int] | None = None) -> bytes:
    """An 8-bit image, as large as that of ``content`` or of ``shape``: 255 inside ``box`` (left, top, right, bottom), 0 elsewhere."""
    dataset = dcmread(BytesIO(content))
    pixels = np.zeros(shape or (dataset.Rows, dataset.Columns), np.uint8)
    if box:
        left, top, right, bottom = box
        pixels[top:bottom, left:right] = 255
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return _saved(dataset)


def lesion_box(image: SimulatedImage) -> tuple[int, int, int, int]:
    """The simulated lesion's box in stored pixels: left, top, right, bottom."""
    assert image.lesion is not None
    (column, row), radius = image.lesion.centre, image.lesion.radius
    return round(column - radius), round(row - radius), round(column + radius), round(row + radius)


def _saved(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


# --- The data sets ----------------------------------------------------------------------------------------------------

VINDR_BREASTS = (
    "study_id", "series_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads", "breast_density", "split",
)  # fmt: skip
VINDR_FINDINGS = (
    "study_id", "series_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads", "breast_density",
    "finding_categories", "finding_birads", "xmin", "ymin", "xmax", "ymax", "split",
)  # fmt: skip
VINDR_METADATA = (
    "SOP Instance UID",
    "Series Instance UID",
    "Patient's Age",
    "Manufacturer",
    "Manufacturer's Model Name",
    "Rows",
    "Columns",
)


Exam = tuple[str, str, Laterality | None, str]
"""Name, vendor, malignant side and published split."""

VINDR_EXAMS: tuple[Exam, ...] = (
    ("s1", "A", Laterality.RIGHT, "training"), ("s2", "B", None, "training"), ("s3", "A", None, "test"), ("s4", "B", Laterality.LEFT, "test"),
)  # fmt: skip


def write_vindr(
    folder: Path, exams: Sequence[Exam] = VINDR_EXAMS, views: Sequence[tuple[Laterality, View]] = FOUR_VIEWS
) -> dict[str, SimulatedImage]:
    """Unless others are given four exams, one of whose breasts is BI-RADS 3 (the left one of s2); the images by name, such as ``s1lcc``."""
    images: dict[str, SimulatedImage] = {}
    breasts, findings, metadata = [], [], []
    for seed, (study, vendor, malignant, split) in enumerate(exams):
        for side, view in views:
            name = f"{study}{side}{view}".lower()
            image = images[name] = picture(vendor, seed, side, view, malignant)
            write(folder / "images" / study / f"{name}.dicom", image.content)
            birads = 5 if side is malignant else 3 if (study, side) == ("s2", Laterality.LEFT) else 1
            row = {"study_id": study, "image_id": name, "laterality": side, "view_position": view, "split": split}
            row["breast_birads"] = f"BI-RADS {birads}"
            breasts.append(row)
            metadata.append({"SOP Instance UID": name, "Manufacturer": VENDORS[vendor].manufacturer})
            finding = {"finding_categories": "['No Finding']"}
            if side is malignant:
                edges = dict(zip(("xmin", "ymin", "xmax", "ymax"), lesion_box(image), strict=True))
                finding = {
                    "finding_categories": "['Mass']",
                    "finding_birads": "BI-RADS 5",
                    **{key: str(edge) for key, edge in edges.items()},
                }
            findings.append(row | finding)
    write_table(folder / "breast-level_annotations.csv", VINDR_BREASTS, breasts)
    write_table(folder / "finding_annotations.csv", VINDR_FINDINGS, findings)
    write_table(folder / "metadata.csv", VINDR_METADATA, metadata)
    return images


CSAW = (
    "anon_patientid", "exam_year", "x_age", "x_case", "x_cancer_laterality", "x_type", "x_lymphnode_met", "rad_timing", "rad_r1", "rad_r2",
    "rad_recall", "rad_recall_type_right", "rad_recall_type_left", "imagelaterality", "viewposition", "libra_breastarea", "libra_densearea",
    "libra_percentdensity", "anon_filename",
)  # fmt: skip


def write_csaw(folder: Path) -> None:
    """A woman with a left cancer found in 2014 and an exam of 2012, and one without cancer; one file is missing."""
    exams = (("00001", 2012, "1", "3"), ("00001", 2014, "1", "1.0"), ("00002", 2013, "0", ""))
    rows = []
    for seed, (patient, year, case, timing) in enumerate(exams):
        for side, view in FOUR_VIEWS:
            name = f"{patient}_{year}_{side}_{view}.dcm"
            if (patient, side, view) != ("00002", Laterality.RIGHT, View.MLO):
                write(folder / "part1" / patient / name, picture("A", 10 + seed, side, view).content)
            row = {"anon_patientid": patient, "exam_year": year, "x_case": case, "rad_timing": timing, "anon_filename": name}
            row |= {"x_cancer_laterality": "Left" if case == "1" else "", "imagelaterality": side.word.capitalize(), "viewposition": view}
            rows.append(row)
    write_table(folder / "CSAW-CC_breast_cancer_screening_data.csv", CSAW, rows)


RSNA = (
    "site_id", "patient_id", "image_id", "laterality", "view", "age", "cancer", "biopsy", "invasive", "BIRADS", "implant", "density",
    "machine_id", "difficult_negative_case",
)  # fmt: skip
STRIPPED = (
    "Modality", "Manufacturer", "ManufacturerModelName", "ImageLaterality", "ViewPosition", "ViewCodeSequence", "SOPClassUID",
    "PresentationIntentType", "AnatomicRegionSequence",
)  # fmt: skip


def write_rsna(folder: Path) -> None:
    """A woman with a right cancer (and a lateral view), one without, one with implants; headers stripped as they were published."""
    rows = []
    for patient, cancer, implant, machine in (("5", Laterality.RIGHT, 0, 49), ("6", None, 0, 21), ("7", None, 1, 49)):
        for number, (side, view) in enumerate(FOUR_VIEWS):
            image = f"{patient}{number}"
            content = changed(picture("C", int(patient), side, view).content, **dict.fromkeys(STRIPPED))
            write(folder / "train_images" / patient / f"{image}.dcm", content)
            row = {"site_id": 1, "patient_id": patient, "image_id": image, "laterality": side, "view": view, "implant": implant}
            rows.append(row | {"cancer": int(side is cancer), "machine_id": machine})
    rows.append(rows[0] | {"image_id": "59", "view": "LM"})
    write_table(folder / "train.csv", RSNA, rows)


EMBED_CLINICAL = ("empi_anon", "acc_anon", "study_date_anon", "desc", "asses", "numfind", "side", "bside", "path_severity", "tissueden")
EMBED_METADATA = (
    "anon_dicom_path", "empi_anon", "acc_anon", "study_date_anon", "StudyDescription", "ImageLateralityFinal", "ViewPosition",
    "FinalImageType", "spot_mag", "num_roi", "ROI_coords", "Manufacturer", "ManufacturerModelName",
)  # fmt: skip


def write_embed(folder: Path) -> dict[str, SimulatedImage]:
    """Exam 1: left cancer with a region, right negative. Exam 2: left recalled without pathology, right benign by biopsy; a C-view. Exam 3: a lymphoma."""
    images: dict[str, SimulatedImage] = {}
    metadata: list[dict[str, object]] = []
    for exam, malignant in (("1", Laterality.LEFT), ("2", None)):
        for side, view in FOUR_VIEWS:
            image = images[f"{exam}{side}{view}"] = picture("A", 20 + int(exam), side, view, malignant)
            place = f"cohort_1/p{exam}/e{exam}/{side}{view}.dcm"
            write(folder / "images" / place, image.content)
            row: dict[str, object] = {"anon_dicom_path": f"/mnt/hospital/images/{place}", "empi_anon": f"p{exam}", "acc_anon": f"e{exam}"}
            row |= {"ImageLateralityFinal": side, "ViewPosition": view, "FinalImageType": "2D", "Manufacturer": "HOLOGIC, Inc."}
            if side is malignant:
                left, top, right, bottom = lesion_box(image)
                row |= {"num_roi": 1, "ROI_coords": f"(({top}, {left}, {bottom}, {right}),)"}
            metadata.append(row)
    metadata.append(metadata[0] | {"FinalImageType": "cview"})
    metadata.append(metadata[0] | {"acc_anon": "e3", "empi_anon": "p3"})
    clinical = [
        {"acc_anon": "e1", "asses": "M", "side": "L", "bside": "L", "path_severity": "0.0"},
        {"acc_anon": "e1", "asses": "N", "side": "R"},
        {"acc_anon": "e2", "asses": "A", "side": "L"},
        {"acc_anon": "e3", "asses": "N", "side": "B", "path_severity": "6"},
        {"acc_anon": "e2", "asses": "S", "side": "R", "bside": "R", "path_severity": "4"},
    ]
    write_table(folder / "tables" / "EMBED_OpenData_clinical.csv", EMBED_CLINICAL, clinical)
    write_table(folder / "tables" / "EMBED_OpenData_metadata_reduced.csv", EMBED_METADATA, metadata)
    return images


def write_cmmd(folder: Path) -> None:
    """A woman with a malignant left and an unbiopsied right breast, one with a benign right breast, and a file that is no DICOM."""
    for seed, patient in enumerate(("D1-0001", "D2-0002")):
        for number, (side, view) in enumerate(FOUR_VIEWS, start=1):
            content = changed(picture("B", 30 + seed, side, view).content, PatientID=patient)
            write(folder / "CMMD" / patient / "07-18-2010-NA-NA-79377" / "1.000000-NA-70244" / f"1-{number}.dcm", content)
    write(folder / "CMMD" / "D2-0002" / "broken.dcm", b"no DICOM")
    rows = [
        {"ID1": "D1-0001", "LeftRight": "L", "abnormality": "mass", "classification": "Malignant"},
        {"ID1": "D2-0002", "LeftRight": "R", "abnormality": "calcification", "classification": "Benign"},
    ]
    columns = ("ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype")
    write_table(folder / "CMMD_clinicaldata_revision.csv", columns, rows)


CBIS = (
    "patient_id", "breast_density", "left or right breast", "image view", "abnormality id", "abnormality type", "mass shape", "mass margins",
    "assessment", "pathology", "subtlety", "image file path", "cropped image file path", "ROI mask file path",
)  # fmt: skip


def cbis_row(kind: str, patient: str, side: Laterality, view: View, pathology: str) -> dict[str, object]:
    """A row of the published tables: their paths end in file names that no download has."""
    series = f"{kind}_{patient}_{side.word.upper()}_{view}"
    row: dict[str, object] = {"patient_id": patient, "left or right breast": side.word.upper(), "image view": view}
    row |= {"abnormality id": 1, "pathology": pathology, "image file path": f"{series}/1.2/1.3/000000.dcm"}
    return row | {"cropped image file path": f"{series}_1/1.4/1.5/000000.dcm", "ROI mask file path": f"{series}_1/1.4/1.5/000001.dcm\n"}


def write_cbis(folder: Path) -> dict[str, SimulatedImage]:
    """P_1: left mass, malignant (training). P_2: right calcification, benign, in training, and a left mass of hers in test."""
    images: dict[str, SimulatedImage] = {}
    cases = (
        ("Mass-Training", "P_1", Laterality.LEFT, "MALIGNANT"),
        ("Calc-Training", "P_2", Laterality.RIGHT, "BENIGN_WITHOUT_CALLBACK"),
        ("Mass-Test", "P_2", Laterality.LEFT, "BENIGN"),
    )
    tables: dict[str, list[dict[str, object]]] = {kind: [] for kind in ("Mass-Training", "Mass-Test", "Calc-Training", "Calc-Test")}
    for seed, (kind, patient, side, pathology) in enumerate(cases):
        for view in (View.CC, View.MLO):
            image = picture("A", 40 + seed, side, view, side if pathology == "MALIGNANT" else None)
            series = f"{kind}_{patient}_{side.word.upper()}_{view}"
            images[f"{patient}{side}{view}"] = image
            write(folder / "CBIS-DDSM" / series / "1.2" / "1.3" / "1-1.dcm", image.content)
            box = lesion_box(image) if image.lesion else (20, 20, 30, 30)
            # The crop first, as in many of the published folders.
            write(folder / "CBIS-DDSM" / f"{series}_1" / "1.4" / "1.5" / "1-1.dcm", mask_of(image.content, (0, 0, 60, 60), (60, 60)))
            write(folder / "CBIS-DDSM" / f"{series}_1" / "1.4" / "1.5" / "1-2.dcm", mask_of(image.content, box))
            tables[kind].append(cbis_row(kind, patient, side, view, pathology))
    for kind, rows in tables.items():
        what, part = kind.lower().split("-")
        write_table(folder / f"{what}_case_description_{part.removesuffix('ing')}_set.csv", CBIS, rows)
    return images
