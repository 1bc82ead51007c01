"""The presentation state, and the images as DCMTK's viewer library shows them with it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from harness.documents import DCIODVFY, read
from pydicom.dataset import Dataset

from dosremc_node.records import DocumentKind, Finding
from dosremc_node.simulation import VENDORS, Order, simulate_exam

STATES = (DocumentKind.PRESENTATION_STATE,)
GSPS = "1.2.840.10008.5.1.4.1.1.11.1"


def states_of(exam: Any) -> list[Dataset]:
    return [read(document) for document in exam.render(kinds=STATES)]


def voi_lut() -> Dataset:
    """A curve of 12 bits, no straight line, that begins at stored value 100."""
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", [3000, 100, 12])
    lut.add_new("LUTData", "US", [int(4095 * (entry / 2999) ** 2) for entry in range(3000)])
    return lut


def test_each_positive_image_gets_a_state_with_its_outlines(make_exam: Callable[..., Any]) -> None:
    """Outline in pixels, probability beside it, tracked as in the other documents, on the image that is referred to."""
    exam = make_exam()
    documents = exam.render(kinds=STATES)
    assert [document.description for document in documents] == ["AI marks L CC 73 %", "AI marks L MLO 61 %"]
    assert len({document.series_instance_uid for document in documents}) == 2
    for document, score, image in zip(documents, exam.assessment.images, exam.revision.plan.images, strict=False):
        dataset = read(document)
        assert (dataset.SOPClassUID, document.sop_class_uid, dataset.Modality) == (GSPS, GSPS, "PR")
        (series,) = dataset.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == image.header.series_instance_uid
        assert [each.ReferencedSOPInstanceUID for each in series.ReferencedImageSequence] == [score.sop_instance_uid]
        (annotation,) = dataset.GraphicAnnotationSequence
        (outline,) = annotation.GraphicObjectSequence
        assert (outline.GraphicType, outline.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
        assert np.array_equal(np.reshape(outline.GraphicData, (-1, 2)), score.findings[0].outline)
        assert [text.UnformattedTextValue for text in annotation.TextObjectSequence] == [
            f"{100 * score.probability:.1f} %",
            "AI for research use only: not for diagnosis",
        ]


def test_marks_are_tracked_as_in_the_region_reports(make_exam: Callable[..., Any]) -> None:
    """One finding has one tracking UID, whichever document shows it."""
    region, state = (read(document) for document in make_exam(("L CC",), (0.5,)).render(kinds=(DocumentKind.REGION, *STATES)))
    tracked = state.GraphicAnnotationSequence[0].GraphicObjectSequence[0].TrackingUID
    assert tracked in region.to_json()


def test_a_state_says_research_use_and_names_its_release(make_exam: Callable[..., Any]) -> None:
    """In its description too, which a list of states shows; the release is a device; no date is a report's."""
    exam = make_exam()
    (state, _) = states_of(exam)
    assert "research use only" in state.ContentDescription
    assert state.ContributingEquipmentSequence[0].DeviceUID == exam.release.device_uid
    assert (state.PresentationCreationDate, state.PresentationCreationTime) == (
        "20260101",
        exam.revision.opened_at.astimezone().strftime("%H%M%S.%f"),
    )
    assert "VerificationFlag" not in state


def test_nothing_is_marked_where_nothing_is_positive(make_exam: Callable[..., Any]) -> None:
    """A negative study has no state."""
    assert not states_of(make_exam(probabilities=(0.01, 0.01, 0.02, 0.01)))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}),
        ({"PhotometricInterpretation": "MONOCHROME2"}, {"PresentationLUTShape": "IDENTITY"}),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"}, {"PresentationLUTShape": "IDENTITY"}),
        (
            {"RescaleSlope": 2, "RescaleIntercept": -5, "RescaleType": "OD"},
            {"RescaleSlope": 2, "RescaleIntercept": -5, "RescaleType": "OD"},
        ),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, {}),
    ],
)
def test_polarity_and_rescaling_are_the_images(make_exam: Callable[..., Any], attributes: dict[str, Any], expected: dict[str, Any]) -> None:
    """The state takes the place of both, so it repeats them; a slope of nothing is not repeated."""
    state = states_of(make_exam(("L CC",), (0.5,), **attributes))[0]
    found = {name: state[name].value for name in ("RescaleSlope", "RescaleIntercept", "RescaleType") if name in state}
    assert {"PresentationLUTShape": state.PresentationLUTShape, **found} == {"PresentationLUTShape": "IDENTITY", **expected}


def test_first_window_is_the_one(make_exam: Callable[..., Any]) -> None:
    """Of several windows the first, with its function, and before any look-up table."""
    window = {"WindowCenter": [1500, 1800], "WindowWidth": [2000, 900], "VOILUTFunction": "SIGMOID", "VOILUTSequence": [voi_lut()]}
    (voi,) = states_of(make_exam(("L CC",), (0.5,), **window))[0].SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction) == (1500, 2000, "SIGMOID")
    assert "VOILUTSequence" not in voi


@pytest.mark.parametrize("encode", [bytes, list])
@pytest.mark.parametrize("first", [100, -3000])
def test_look_up_table_is_repeated(make_exam: Callable[..., Any], encode: type, first: int) -> None:
    """Whether its values are written as words or as numbers, and where it begins below zero."""
    lut = Dataset()
    values = [0, 100, 1000, 4095]
    lut.add_new("LUTDescriptor", "SS" if first < 0 else "US", [4, first, 12])
    if encode is bytes:
        lut.add_new("LUTData", "OW", np.array(values, "<u2").tobytes())
    else:
        lut.add_new("LUTData", "US", values)
    (voi,) = states_of(make_exam(("L CC",), (0.5,), VOILUTSequence=[lut]))[0].SoftcopyVOILUTSequence
    (repeated,) = voi.VOILUTSequence
    assert list(repeated.LUTDescriptor) == [4, first, 16]
    assert np.frombuffer(repeated.LUTData, "<u2") / 0xFFFF == pytest.approx(np.array(values) / 0xFFF, abs=1e-5)


@pytest.mark.parametrize("descriptor", [[5, 0, 12], [4, 0, 20], [4, 0]])
def test_broken_look_up_table_is_left_out(make_exam: Callable[..., Any], descriptor: list[int]) -> None:
    """Another number of entries, a number of bits that none has, no descriptor at all."""
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", descriptor)
    lut.add_new("LUTData", "US", [0, 1, 2, 3])
    assert "SoftcopyVOILUTSequence" not in states_of(make_exam(("L CC",), (0.5,), VOILUTSequence=[lut]))[0]


# --- Independent readers ----------------------------------------------------------------------------------------------


def exam_with(make_exam: Callable[..., Any], dataset: Dataset, folder: Path) -> tuple[Any, Path]:
    """An exam of one positive image, which is this one."""
    path = folder / "image.dcm"
    pydicom.dcmwrite(path, dataset)
    exam = make_exam(("L CC",), (0.6,))
    (image,), (score,) = exam.revision.plan.images, exam.assessment.images
    uid, who = dataset.SOPInstanceUID, replace(image.header.who, study_instance_uid=dataset.StudyInstanceUID)
    finding = Finding(((100.0, 200.0), (200.5, 200.0), (200.5, 300.25)), (150.0, 240.0), 0.6)
    header = replace(
        image.header,
        who=who,
        sop_instance_uid=uid,
        sop_class_uid=dataset.SOPClassUID,
        series_instance_uid=dataset.SeriesInstanceUID,
        rows=dataset.Rows,
        columns=dataset.Columns,
    )
    exam.plan(images=(replace(image, header=header),))
    exam.revision = replace(exam.revision, who=who)
    exam.assessment = replace(exam.assessment, images=(replace(score, sop_instance_uid=uid, findings=(finding,)),))
    exam.headers = {uid: path}
    return exam, path


def shown(image: Path, *options: Any) -> np.ndarray:
    """The image as DCMTK shows it; without a state it makes one from the image's own header."""
    picture = image.with_suffix(".pgm")
    subprocess.run(["dcmp2pgm", *options, image, picture], check=True, capture_output=True)
    return cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)


@pytest.mark.skipif(shutil.which("dcmp2pgm") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize("curve", [False, True])
@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_dcmtk_shows_the_image_with_the_state_as_without(make_exam: Callable[..., Any], tmp_path: Path, vendor: str, curve: bool) -> None:
    """The state is accepted, and it changes no grey value: not with a window, a look-up table, or an inverse image."""
    dataset = pydicom.dcmread(BytesIO(simulate_exam(Order(1, VENDORS[vendor], None, binning=4.0)).images[0].content))
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress()  # DCMTK's program reads no JPEG-LS
    if curve:
        del dataset.WindowCenter, dataset.WindowWidth
        dataset.VOILUTSequence = [voi_lut()]
    exam, image = exam_with(make_exam, dataset, tmp_path)
    (document,) = exam.render(kinds=STATES)
    state = tmp_path / "state.dcm"
    state.write_bytes(document.content)
    with_state, without = shown(image, "-p", state), shown(image)
    assert np.ptp(without) > 20
    # A table of 12 bits is repeated in 16: a value may come out on the other side of a rounding.
    assert np.abs(with_state.astype(int) - without).max() <= (1 if curve else 0)


def test_odd_grey_scales_give_valid_states(make_exam: Callable[..., Any], tmp_path: Path) -> None:
    """Whatever stands in the header: a number that is none, an empty look-up table, a curve."""
    odd = make_exam(WindowCenter=1000, WindowWidth="12345678", RescaleSlope=1 / 3, RescaleIntercept=-1 / 3, VOILUTSequence=[Dataset()])
    for path in odd.headers.values():
        path.write_bytes(path.read_bytes().replace(b"12345678", b"nonsense"))
    curve = make_exam(VOILUTSequence=[voi_lut()])
    states = [document for exam in (odd, curve) for document in exam.render(kinds=STATES)]
    for number, document in enumerate(states):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(document.content)
        run = subprocess.run([DCIODVFY, path], capture_output=True, text=True, check=False)
        assert "Error" not in run.stderr, run.stderr
