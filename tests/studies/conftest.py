"""Headers written for the tests, and a release to plan with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

from dosremc_node.records import (
    BankId,
    Domain,
    ImageHeader,
    Laterality,
    OperatingPoint,
    PatientAndStudy,
    PreprocessingSpec,
    PresentationIntent,
    Release,
    ScannerKey,
    View,
)

HOLOGIC = ScannerKey("HOLOGIC, Inc.", "Selenia Dimensions", "1.9")


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes the header of a right oblique screening view; further elements override it, `None` removes one."""
    numbers = itertools.count(1000)

    def make(**elements: object) -> Path:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = UID(f"2.25.{next(numbers)}")
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        usual: dict[str, object] = {
            "SOPClassUID": DigitalMammographyXRayImageStorageForPresentation,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "StudyInstanceUID": "2.25.1",
            "SeriesInstanceUID": "2.25.2",
            "Modality": "MG",
            "PresentationIntentType": "FOR PRESENTATION",
            "ImageType": ["DERIVED", "PRIMARY"],
            "Manufacturer": "HOLOGIC, Inc.",
            "ManufacturerModelName": "Selenia Dimensions",
            "SoftwareVersions": "1.9",
            "ImageLaterality": "R",
            "ViewPosition": "MLO",
            "Rows": 4096,
            "Columns": 3328,
            "ImagerPixelSpacing": [0.07, 0.07],
        }
        for keyword, value in (usual | elements).items():
            if value is not None:
                setattr(dataset, keyword, value)
        meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", DigitalMammographyXRayImageStorageForPresentation)
        path = tmp_path / f"{meta.MediaStorageSOPInstanceUID}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        return path

    return make


@pytest.fixture
def code() -> Callable[..., Dataset]:
    """Makes a coded item, with modifiers where it is a view."""

    def make(value: str, *modifiers: str, scheme: str = "SCT") -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "meaning"
        if modifiers:
            item.ViewModifierCodeSequence = [make(modifier, scheme=scheme) for modifier in modifiers]
        return item

    return make


@pytest.fixture
def make_header() -> Callable[..., ImageHeader]:
    """Makes what a header says of an eligible view, such as "L CC"; further fields override it."""
    numbers = itertools.count(1000)

    def make(name: str = "L CC", scanner: ScannerKey = HOLOGIC, **fields: object) -> ImageHeader:
        side, view = name.split()
        usual: dict[str, object] = {
            "who": PatientAndStudy("2.25.1"),
            "sop_instance_uid": f"2.25.{next(numbers)}",
            "sop_class_uid": str(DigitalMammographyXRayImageStorageForPresentation),
            "series_instance_uid": "2.25.2",
            "modality": "MG",
            "scanner": scanner,
            "laterality": Laterality(side),
            "view": View(view),
            "intent": PresentationIntent.FOR_PRESENTATION,
        }
        return ImageHeader(**(usual | fields))  # type: ignore[arg-type]

    return make


@pytest.fixture
def release() -> Release:
    """A release with banks for three domains, and an operating point of its own for one scanner."""
    domains = [Domain(name) for name in ("hologic", "ge", "siemens")]
    points = {str(domain): OperatingPoint(0.5, target=domain) for domain in domains}
    points[str(HOLOGIC)] = OperatingPoint(0.7, target="this very unit")
    return Release(
        release_id="R-1",
        parent=None,
        filters_sha256="f" * 64,
        backbone_sha256="b" * 64,
        preprocessing=PreprocessingSpec(384, 192, "", "", ""),
        preprocessing_sha256="p" * 64,
        banks={domain: BankId(domain, domain[0] * 64) for domain in domains},
        operating_points=points,
        device_uid="2.25.5",
        created=datetime(2025, 1, 1, tzinfo=UTC),
        approver="a physicist",
        demonstration=True,
        statement="",
    )
