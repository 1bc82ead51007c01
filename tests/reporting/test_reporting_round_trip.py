"""What was written is what is read, by a reader that knows only the standard: `harness.standard_reader`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from harness.documents import read
from harness.standard_reader import Number, Said, read_report
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dosremc_node.records import (
    Assessment,
    BreastScore,
    DocumentKind,
    Finding,
    ImageNotAssessed,
    ImageScore,
    Laterality,
    NotAssessedReason,
    StudyImage,
)

REPORTS = (DocumentKind.SUMMARY, DocumentKind.REGION, DocumentKind.CAD)
HALF_A_DIGIT = 0.05
"""Reports print per cent with one decimal."""

probabilities = st.floats(0.0, 1.0)
points = st.tuples(st.floats(0.0, 1024.0), st.floats(0.0, 1330.0))
outlines = st.lists(points, min_size=3, max_size=9, unique=True).map(tuple)
findings = st.lists(st.builds(Finding, outlines, points, probabilities), max_size=4).map(tuple)


@st.composite
def assessments(draw: st.DrawFn, images: tuple[StudyImage, ...]) -> Assessment:
    """Any subset of the images scored, the others unreadable; any score positive; all in the shadow now and then."""
    scored = draw(st.lists(st.sampled_from(images), unique_by=lambda image: image.name))
    scores = tuple(draw(_scores(image)) for image in images if image in scored)
    breasts = tuple(
        BreastScore(side, draw(probabilities), draw(st.booleans())) for side in Laterality if side in {s.laterality for s in scores}
    )
    failed = tuple(ImageNotAssessed(i.header.sop_instance_uid, i.name, NotAssessedReason.UNREADABLE) for i in images if i not in scored)
    exam = draw(probabilities) if scores else None
    reason = draw(st.sampled_from([None, None, NotAssessedReason.UNKNOWN_SCANNER])) if scores else NotAssessedReason.UNREADABLE
    return Assessment(scores, breasts, exam, draw(st.booleans()), failed, reason)


def _scores(image: StudyImage) -> st.SearchStrategy[ImageScore]:
    header = image.header
    return st.builds(
        ImageScore, *map(st.just, (header.sop_instance_uid, header.laterality, header.view, 0.0)), probabilities, st.booleans(), findings
    )


def said_by(documents: tuple[Any, ...], kind: DocumentKind) -> list[Said]:
    return [read_report(read(each)) for each in documents if each.kind is kind]


def assert_says(number: Number | None, probability: float | None) -> None:
    """The float to the last bits that a product has, the text within the rounding that it shows."""
    if probability is None:
        assert number is None
        return
    assert number is not None
    assert number.unit == "%"
    assert number.value == pytest.approx(100 * probability, rel=1e-15)
    assert float(number.printed) == pytest.approx(100 * probability, abs=HALF_A_DIGIT * (1 + 1e-9))


def assert_marks(said: Said, scores: list[ImageScore], *, with_centre: bool) -> None:
    """Every finding of those images, in order, on its image: closed, in single precision, as DICOM keeps coordinates."""
    expected = [(score.sop_instance_uid, finding) for score in scores for finding in score.findings]
    assert len(said.marks) == len(expected)
    for mark, (image, finding) in zip(said.marks, expected, strict=True):
        assert mark.image == image
        closed = finding.outline if finding.outline[0] == finding.outline[-1] else (*finding.outline, finding.outline[0])
        assert np.array_equal(np.float32(mark.points), np.float32(closed))
        assert_says(mark.probability, finding.probability)
        if with_centre:
            assert np.array_equal(np.float32(mark.centre), np.float32(finding.centre))
    assert len({mark.tracking_uid for mark in said.marks}) == len(expected)


@pytest.fixture(scope="module")
def exam(make_exam: Callable[..., Any]) -> Any:
    """Four views, whose assessment the properties replace."""
    return make_exam()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_was_written_is_what_is_read(exam: Any, data: st.DataObject) -> None:
    """Of any assessment: every score, region and image reference of each kind of report, and nothing that may not be shown."""
    assessment = data.draw(assessments(exam.revision.plan.images))
    documents = replace(exam, assessment=assessment).render(kinds=REPORTS)
    shown = assessment.shown
    scores = list(assessment.images) if shown else []
    marked = [score for score in scores if score.positive and score.findings]
    (summary,), (cad,), regions = (said_by(documents, kind) for kind in (DocumentKind.SUMMARY, DocumentKind.CAD, DocumentKind.REGION))

    for said in (summary, cad):
        assert_says(said.exam, assessment.exam_probability if shown else None)
        breasts = {str(breast.laterality): breast.probability for breast in assessment.breasts} if shown else {}
        assert said.breasts.keys() == breasts.keys()
        for side, probability in breasts.items():
            assert_says(said.breasts[side], probability)
    assert summary.images.keys() == {score.sop_instance_uid for score in scores}
    for score in scores:
        assert_says(summary.images[score.sop_instance_uid], score.probability)

    assert not summary.marks
    assert_marks(cad, marked, with_centre=True)
    assert len(regions) == len(marked)
    for said, score in zip(regions, marked, strict=True):
        assert_marks(said, [score], with_centre=False)
    assert {said.evidence for said in (summary, cad, *regions)} == {frozenset(exam.headers)}
    assert [mark.tracking_uid for said in regions for mark in said.marks] == [mark.tracking_uid for mark in cad.marks]


def test_extremes_are_read_too(extreme_exams: dict[str, Any]) -> None:
    """No region, forty, one on the border, five views of one breast, a second revision, odd names: every mark is found."""
    for name, each in extreme_exams.items():
        documents = each.render(kinds=REPORTS)
        marked = [score for score in each.assessment.images if score.positive and score.findings] if each.assessment.shown else []
        (cad,) = said_by(documents, DocumentKind.CAD)
        assert_marks(cad, marked, with_centre=True)
        for said, score in zip(said_by(documents, DocumentKind.REGION), marked, strict=True):
            assert_marks(said, [score], with_centre=False)
        assert cad.evidence == frozenset(each.headers), name
