"""The saliency map as a fractional segmentation, read back pixel by pixel by what knows the standard alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from harness.documents import read
from pydicom.dataset import Dataset

from dosremc_node.records import DocumentKind, InputGeometry, NetworkInput, NotAssessedReason, Picture

SALIENCY = (DocumentKind.SALIENCY,)


def maps_of(exam: Any, **further: Any) -> list[Dataset]:
    return [read(document) for document in exam.render(kinds=SALIENCY, **further)]


def test_each_positive_image_gets_a_map_of_its_own_size(make_exam: Callable[..., Any]) -> None:
    """Pixel for pixel that of the image it names, derived from it, in a series of its own, without invented geometry."""
    exam = make_exam()
    documents = exam.render(kinds=SALIENCY)
    assert [document.description for document in documents] == ["AI map L CC 73 %", "AI map L MLO 61 %"]
    assert len({document.series_instance_uid for document in documents}) == 2
    assert list(exam.render(kinds=SALIENCY)) == list(documents)
    for document, score in zip(documents, exam.assessment.images, strict=False):
        dataset = read(document)
        assert (dataset.Rows, dataset.Columns, dataset.Modality, dataset.SegmentationType) == (1330, 1024, "SEG", "FRACTIONAL")
        (source,) = dataset.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
        assert (source.ReferencedSOPInstanceUID, source.SpatialLocationsPreserved) == (score.sop_instance_uid, "YES")
        assert "FrameOfReferenceUID" not in dataset
        assert "research use only" in dataset.ContentDescription
        assert "no probability of cancer" in dataset.SegmentSequence[0].SegmentDescription


def test_highdicom_reads_the_map_where_the_lesion_is(make_exam: Callable[..., Any]) -> None:
    """A reader that nobody here wrote opens it, and its highest value lies inside the outline of the region report."""
    exam = make_exam()
    segmentation = hd.seg.Segmentation.from_dataset(maps_of(exam)[0])
    assert segmentation.number_of_segments == 1
    row, column = np.unravel_index(segmentation.pixel_array.argmax(), (1330, 1024))
    outline = np.array(exam.assessment.images[0].findings[0].outline)
    assert outline[:, 0].min() <= column <= outline[:, 0].max()
    assert outline[:, 1].min() <= row <= outline[:, 1].max()


@pytest.mark.parametrize(
    ("geometry", "quarter"),
    [
        (InputGeometry(4.0, 0.0, 0.0, 0.0, 4.0, 0.0), (0, 0)),
        (InputGeometry(-4.0, 0.0, 1024.0, 0.0, 4.0, 0.0), (0, 1)),
        (InputGeometry(4.0, 0.0, 0.0, 0.0, -4.0, 1330.0), (1, 0)),
    ],
)
def test_every_orientation_is_turned_back(make_exam: Callable[..., Any], geometry: InputGeometry, quarter: tuple[int, int]) -> None:
    """Mirrored or upended: what drove the score in the network's upper left corner does so in that corner of the image."""
    saliency = np.zeros((8, 8), np.float32)
    saliency[:3, :3] = 1.0
    image = NetworkInput(np.zeros((256, 256), np.float32), np.ones((256, 256), np.bool_), geometry, rows=1330, columns=1024)
    (found,) = maps_of(make_exam(("L CC",), (0.5,)), pictures=lambda _: Picture(image, saliency))
    high = found.pixel_array > 200
    row, column = (axis[high].mean() / length for axis, length in zip(np.indices(high.shape), high.shape, strict=True))
    assert (round(row), round(column)) == quarter


def test_no_map_without_a_score_that_may_be_shown(make_exam: Callable[..., Any]) -> None:
    """A negative study has none, and one that was scored in the shadow neither."""
    assert not maps_of(make_exam(probabilities=(0.01, 0.01, 0.02, 0.01)))
    shadow = make_exam()
    shadow.not_assessed(NotAssessedReason.UNKNOWN_SCANNER)
    assert not maps_of(shadow)
