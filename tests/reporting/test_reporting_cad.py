"""The Mammography CAD SR, read back by programs that know only the standard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import highdicom
import numpy as np
import pytest
from harness.documents import evidence, items, name_of, read
from pydicom.dataset import Dataset

from dosremc_node.records import DocumentKind, NotAssessedReason

CAD = (DocumentKind.CAD,)
CAD_SR = "1.2.840.10008.5.1.4.1.1.88.50"
SUMMARY_OF_RESULTS, FINDING, CENTER, OUTLINE = "111017", "111059", "111010", "111041"
DETECTIONS, ANALYSES = "111064", "111065"


def cad_of(exam: Any) -> Dataset:
    (document,) = exam.render(kinds=CAD)
    return read(document)


def named(dataset: Dataset, value: str) -> list[Dataset]:
    """The items with that concept name, wherever they stand."""
    return [item for _, item in items(dataset) if "ConceptNameCodeSequence" in item and name_of(item)[0] == value]


def value_of(dataset: Dataset, name: str) -> str:
    (item,) = named(dataset, name)
    return str(item.ConceptCodeSequence[0].CodeValue)


def referred(dataset: Dataset, item: Dataset) -> list[str]:
    """The images that an item refers to by their place in the report, as SOP Instance UIDs."""
    found = []
    for child in item.get("ContentSequence", ()):
        if "ReferencedContentItemIdentifier" in child:
            target = dataset
            for place in list(child.ReferencedContentItemIdentifier)[1:]:
                target = target.ContentSequence[place - 1]
            found.append(str(target.ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
    return found


def numbers(item: Dataset) -> dict[str, float]:
    return {
        name_of(child)[0]: child.MeasuredValueSequence[0].FloatingPointValue
        for child in item.ContentSequence
        if child.get("ValueType") == "NUM"
    }


def test_each_mark_can_be_read_back_with_its_image(make_exam: Callable[..., Any]) -> None:
    """Centre, outline and probability of every finding, and by reference the image that it was found on."""
    exam = make_exam()
    dataset = cad_of(exam)
    expected = [(score.sop_instance_uid, each) for score in exam.assessment.images for each in score.findings]
    findings = named(dataset, FINDING)
    assert len(findings) == len(expected) == 2
    for item, (image_uid, finding) in zip(findings, expected, strict=True):
        (centre,), (outline,) = named(item, CENTER), named(item, OUTLINE)
        assert (centre.GraphicType, tuple(centre.GraphicData)) == ("POINT", finding.centre)
        assert np.array_equal(np.reshape(outline.GraphicData, (-1, 2)), finding.outline)
        assert referred(dataset, centre) == referred(dataset, outline) == [image_uid]
        assert numbers(item) == pytest.approx({"111012": 100 * finding.probability, "111047": 100 * finding.probability}, rel=1e-15)


def test_exam_and_breasts_are_scored_under_the_summary_of_findings(make_exam: Callable[..., Any]) -> None:
    """Workstations take the exam's score from there; breasts stand by their side."""
    exam = make_exam()
    (summary,) = named(cad_of(exam), SUMMARY_OF_RESULTS)
    (certainty,) = [item for item in summary.ContentSequence if name_of(item)[0] == "111013"]
    assert certainty.MeasuredValueSequence[0].FloatingPointValue == pytest.approx(100 * exam.assessment.exam_probability, rel=1e-15)
    breasts = {
        item.ContentSequence[0].ConceptCodeSequence[0].CodeMeaning: item.MeasuredValueSequence[0].FloatingPointValue
        for item in summary.ContentSequence
        if name_of(item)[0] == "111047"
    }
    left, right = exam.assessment.breasts
    assert breasts == pytest.approx({"Left breast": 100 * left.probability, "Right breast": 100 * right.probability}, rel=1e-15)


@pytest.mark.parametrize(
    ("probabilities", "failed", "said"),
    [
        ((0.7, 0.6, 0.02, 0.01), None, ("111242", "111222")),
        ((0.01, 0.02, 0.02, 0.01), None, ("111241", "111222")),
        ((0.7, 0.6, 0.02, 0.01), "partly", ("111244", "111223")),
        ((0.01, 0.02, 0.02, 0.01), "partly", ("111243", "111223")),
        ((0.7, 0.6, 0.02, 0.01), "wholly", ("111245", "111224")),
    ],
)
def test_summaries_say_what_succeeded_and_what_was_found(
    make_exam: Callable[..., Any], failures: dict[str, Any], probabilities: tuple[float, ...], failed: str | None, said: tuple[str, str]
) -> None:
    """With findings, without, partly failed, failed: the codes that a workstation decides by."""
    exam = make_exam(probabilities=probabilities)
    if failed:
        failures[failed](exam)
    dataset = cad_of(exam)
    assert (value_of(dataset, SUMMARY_OF_RESULTS), value_of(dataset, DETECTIONS)) == said
    assert value_of(dataset, ANALYSES) == value_of(dataset, DETECTIONS)
    assert bool(named(dataset, FINDING)) == (said[0] in ("111242", "111244"))
    scored = [score.sop_instance_uid for score in exam.assessment.images]
    successful = [uid for item in named(dataset, "111063") for uid in referred(dataset, item.ContentSequence[0])]
    unsuccessful = [uid for item in named(dataset, "111025") for uid in referred(dataset, item.ContentSequence[0])]
    assert successful == scored
    assert set(unsuccessful) == set(exam.headers) - set(scored)


def test_what_was_not_attempted_shows_no_score(make_exam: Callable[..., Any]) -> None:
    """Promise 8: of a study scored in the shadow neither a number nor a mark, and the reason in words."""
    exam = make_exam()
    exam.not_assessed(NotAssessedReason.UNKNOWN_SCANNER)
    dataset = cad_of(exam)
    assert [item for item in named(dataset, "111033") if str(NotAssessedReason.UNKNOWN_SCANNER) in item.TextValue]
    assert value_of(dataset, SUMMARY_OF_RESULTS) == "111245"
    assert (value_of(dataset, DETECTIONS), value_of(dataset, ANALYSES)) == ("111225", "111225")
    assert not [item for _, item in items(dataset) if "hologic" in item.get("TextValue", "")]
    assert not named(dataset, FINDING) + named(dataset, "111047") + named(dataset, "111013")


def test_a_view_that_is_no_screening_view_is_left_out_in_words_and_has_not_failed(make_exam: Callable[..., Any]) -> None:
    """A spot view was never to be scored: the report names it and is still one where all succeeded."""
    exam = make_exam()
    images = list(exam.revision.plan.images)
    images[3] = replace(images[3], not_assessed=NotAssessedReason.SPOT)
    exam.plan(images=tuple(images))
    exam.assessment = replace(exam.assessment, images=exam.assessment.images[:3])
    dataset = cad_of(exam)
    assert value_of(dataset, SUMMARY_OF_RESULTS) == "111242"
    assert f"R MLO: {NotAssessedReason.SPOT}" in named(dataset, "111033")[0].TextValue


def test_library_holds_every_image_and_what_its_header_says(make_exam: Callable[..., Any]) -> None:
    """Side, view, orientation, dates and spacing; what a header has in no valid form is left out."""
    exam = make_exam(
        ImagerPixelSpacing=[0.085, 0.07], StudyDate="20260102", StudyTime="101010.5", ContentDate="nonsense", ContentTime="250000"
    )
    dataset = cad_of(exam)
    library = dataset.ContentSequence[1].ContentSequence
    assert {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in library} == set(exam.headers) == evidence(dataset)
    first = {name_of(item)[0]: item for item in library[0].ContentSequence}
    assert set(first) == {"111027", "111031", "111044", "111043", "111060", "111061", "111026", "111066"}
    assert [first[name].ConceptCodeSequence[0].CodeValue for name in ("111027", "111031")] == ["80248007", "399162004"]
    assert (first["111044"].TextValue, first["111043"].TextValue, first["111060"].Date) == ("A", "R", "20260102")
    assert [first[name].MeasuredValueSequence[0].NumericValue for name in ("111026", "111066")] == [0.07, 0.085]


def test_marks_are_tracked_as_in_the_region_reports(make_exam: Callable[..., Any]) -> None:
    """One finding has one tracking UID, whichever document shows it."""
    documents = make_exam().render(kinds=(DocumentKind.REGION, *CAD))
    tracked = [[item.UID for item in named(read(document), "112040")] for document in documents]
    assert tracked[2] == [*tracked[0], *tracked[1]]
    assert len(set(tracked[2])) == 2


def test_it_is_a_report_of_its_own_kind(make_exam: Callable[..., Any]) -> None:
    """SOP class, template, title, research use in words, unverified, the release as a device; the same bytes each time."""
    exam = make_exam()
    documents = exam.render(kinds=CAD)
    dataset = read(documents[0])
    assert (dataset.SOPClassUID, documents[0].sop_class_uid, dataset.Modality) == (CAD_SR, CAD_SR, "SR")
    assert dataset.ContentTemplateSequence[0].TemplateIdentifier == "4000"
    assert (documents[0].description, dataset.SeriesNumber) == ("AI CAD POSITIVE 67 %", 9025)
    assert (dataset.VerificationFlag, dataset.ContributingEquipmentSequence[0].DeviceUID) == ("UNVERIFIED", exam.release.device_uid)
    assert "Research use only" in named(dataset, "111033")[0].TextValue
    assert documents == exam.render(kinds=CAD)


# --- Independent readers ----------------------------------------------------------------------------------------------


def test_highdicom_reads_the_items(make_exam: Callable[..., Any]) -> None:
    """Highdicom takes the items with a value for what they are."""
    dataset = cad_of(make_exam())
    for item in [*named(dataset, CENTER), *named(dataset, OUTLINE)]:
        del item.ContentSequence
        read_back = highdicom.sr.ScoordContentItem.from_dataset(item)
        assert read_back.value.shape in ((1, 2), (5, 2))
