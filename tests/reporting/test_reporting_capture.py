"""The secondary capture, looked at as a viewer shows it: pixels first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from harness.documents import read
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dosremc_node.records import DocumentKind, InputGeometry, NetworkInput, NotAssessedReason, Picture

CAPTURE = (DocumentKind.CAPTURE,)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CYAN = (0, 255, 255)
NOT_THE_VIEW = 130
"""Columns on the right that hold the legend."""


def captures_of(exam: Any, **further: Any) -> list[Dataset]:
    return [read(document) for document in exam.render(kinds=CAPTURE, **further)]


def view_of(dataset: Dataset) -> NDArray[np.int16]:
    """The view without bands and legend: 1280 rows under the first band, whose height follows from one line of text."""
    pixels = dataset.pixel_array.astype(np.int16)
    return pixels[44 : 44 + 1280, : pixels.shape[1] - NOT_THE_VIEW]


def is_colour(pixels: NDArray[np.int16], colour: tuple[int, int, int], tolerance: int = 60) -> NDArray[np.bool_]:
    return np.abs(pixels - np.array(colour)).max(axis=2) < tolerance


def test_each_positive_image_gets_a_picture_that_says_what_it_is(make_exam: Callable[..., Any]) -> None:
    """Derived, burnt in, of the image that it names, in a series of its own, in no modality that is hung as a mammogram."""
    exam = make_exam()
    documents = exam.render(kinds=CAPTURE)
    assert [document.description for document in documents] == ["AI view L CC 73 %", "AI view L MLO 61 %"]
    assert len({document.series_instance_uid for document in documents}) == 2
    for document, score in zip(documents, exam.assessment.images, strict=False):
        dataset = read(document)
        assert (dataset.SOPClassUID, document.sop_class_uid, dataset.Modality) == (SECONDARY_CAPTURE, SECONDARY_CAPTURE, "OT")
        assert (list(dataset.ImageType), dataset.BurnedInAnnotation) == (["DERIVED", "SECONDARY"], "YES")
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == score.sop_instance_uid
        assert "Research use only" in dataset.DerivationDescription
        assert exam.release.statement in dataset.DerivationDescription
        assert dataset.ContributingEquipmentSequence[0].DeviceUID == exam.release.device_uid
        assert (dataset.ImageLaterality, list(dataset.PatientOrientation)) == ("L", ["A", "R"])
        assert (dataset.PatientName, dataset.StudyInstanceUID) == ("Doe^Jane", exam.revision.who.study_instance_uid)


def test_outline_lies_where_the_stored_image_has_it(make_exam: Callable[..., Any]) -> None:
    """In the proportions of the stored image, to a pixel or two, whatever way round the network saw it."""
    exam = make_exam()
    view = view_of(captures_of(exam)[0])
    rows, columns = np.nonzero(is_colour(view, CYAN))
    outline = np.array(exam.assessment.images[0].findings[0].outline) * 1280 / 1330
    assert view.shape[1] == round(1024 * 1280 / 1330)
    assert (columns.min(), columns.max()) == pytest.approx((outline[:, 0].min(), outline[:, 0].max()), abs=3)
    assert rows.max() == pytest.approx(outline[:, 1].max(), abs=3)
    assert rows.min() < outline[:, 1].min()  # the score stands above it


def test_breast_and_heat_are_turned_back(make_exam: Callable[..., Any]) -> None:
    """The network saw the breast at the left edge; the picture has it on the right, as the image, and the heat in the outline."""
    view = view_of(captures_of(make_exam())[0])
    lit = view.max(axis=2) > 30
    assert lit[:, -20:].mean() > 0.5
    assert lit[:, :20].mean() < 0.05
    heat = np.where(is_colour(view, CYAN, 120), 0, view.max(axis=2) - view.min(axis=2))
    weight = heat * (heat > 40)
    row, column = (np.average(axis, weights=weight) * 1330 / 1280 for axis in np.indices(weight.shape))
    assert (column, row) == pytest.approx((280.0, 660.0), abs=40)


@pytest.mark.parametrize(
    ("geometry", "quarter"),
    [
        (InputGeometry(4.0, 0.0, 0.0, 0.0, 4.0, 0.0), (0, 0)),
        (InputGeometry(-4.0, 0.0, 1024.0, 0.0, 4.0, 0.0), (0, 1)),
        (InputGeometry(4.0, 0.0, 0.0, 0.0, -4.0, 1330.0), (1, 0)),
        (InputGeometry(0.0, 4.0, 0.0, 4.0, 0.0, 0.0), (0, 0)),
    ],
)
def test_every_orientation_is_turned_back(make_exam: Callable[..., Any], geometry: InputGeometry, quarter: tuple[int, int]) -> None:
    """Mirrored, upended, transposed: what the network saw in its upper left corner is drawn in that corner of the image."""
    breast = np.ones((256, 256), np.bool_)
    pixels = np.zeros((256, 256), np.float32)
    pixels[:100, :100] = 1.0
    image = NetworkInput(pixels, breast, geometry, rows=1330, columns=1024)
    exam = make_exam(("L CC",), (0.5,))
    (capture,) = captures_of(exam, pictures=lambda _: Picture(image, np.zeros((8, 8), np.float32)))
    view = view_of(capture)
    white = is_colour(view, (255, 255, 255))
    row, column = (axis[white].mean() / length for axis, length in zip(np.indices(white.shape), white.shape, strict=True))
    assert (round(row), round(column)) == quarter


def test_score_and_research_use_are_burnt_in(make_exam: Callable[..., Any]) -> None:
    """Another score is another band above the view, another statement another one below it."""
    exam = make_exam(("L CC",), (0.5,))
    first = captures_of(exam)[0].pixel_array
    score = replace(exam.assessment.images[0], probability=0.51)
    exam.assessment = replace(exam.assessment, images=(score,))
    exam.release = replace(exam.release, statement="Other words.")
    second = captures_of(exam)[0].pixel_array
    assert (first[:44] != second[:44]).any()
    assert first[1324:].any()
    assert first[1324:].shape != second[1324:].shape or (first[1324:] != second[1324:]).any()


def test_no_picture_without_a_score_that_may_be_shown(make_exam: Callable[..., Any]) -> None:
    """A negative study has none, and one that was scored in the shadow neither."""
    assert not captures_of(make_exam(probabilities=(0.01, 0.01, 0.02, 0.01)))
    shadow = make_exam()
    shadow.not_assessed(NotAssessedReason.UNKNOWN_SCANNER)
    assert not captures_of(shadow)


def test_captures_need_pictures(make_exam: Callable[..., Any]) -> None:
    """Who asks for captures and hands in nothing to draw them from is told so."""
    with pytest.raises(ValueError, match="without pictures"):
        make_exam().render(kinds=CAPTURE, pictures=None)
