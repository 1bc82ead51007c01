"""The documents of a study, read back by programs that know only the standard."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from io import BytesIO
from time import tzset
from typing import Any

import highdicom
import pydicom
import pytest
from harness.documents import evidence, items, name_of, read
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dosremc_node.records import (
    Document,
    DocumentKind,
    NotAssessedReason,
    PredecessorDocument,
    StudyId,
    to_json,
)
from dosremc_node.reporting import document_uid, series_uid

NEGATIVE = (0.011, 0.010, 0.021, 0.017)
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
PROBABILITY = ("111047", "DCM")


def probabilities(dataset: Dataset) -> dict[tuple[str, ...], float]:
    """By the sections it stands under: what a reader finds that looks for Probability of cancer (111047, DCM)."""
    numbers = [(path, item) for path, item in items(dataset) if item.ValueType == "NUM" and name_of(item) == PROBABILITY]
    return {path: item.MeasuredValueSequence[0].FloatingPointValue / 100 for path, item in numbers}


def texts(dataset: Dataset) -> dict[str, str]:
    return {item.ConceptNameCodeSequence[0].CodeMeaning: item.TextValue for _, item in items(dataset) if item.ValueType == "TEXT"}


def test_positive_study_has_a_summary_and_a_region_report_for_each_positive_view(make_exam: Callable[..., Any]) -> None:
    """Promise: one summary always, one region report per positive image, each in a series of its own."""
    documents = make_exam().render()
    assert [document.description for document in documents] == ["AI POSITIVE 67 %", "AI L CC 73 %", "AI L MLO 61 %"]
    assert [document.kind for document in documents] == [DocumentKind.SUMMARY, DocumentKind.REGION, DocumentKind.REGION]
    assert len({document.series_instance_uid for document in documents}) == 3
    datasets = [read(document) for document in documents]
    assert [dataset.SeriesNumber for dataset in datasets] == [9000, 9001, 9002]
    for document, dataset in zip(documents, datasets, strict=True):
        assert (dataset.SOPClassUID, dataset.SOPInstanceUID) == (document.sop_class_uid, document.sop_instance_uid)
        assert (dataset.SeriesInstanceUID, dataset.SeriesDescription) == (document.series_instance_uid, document.description)
        assert dataset.SOPClassUID == COMPREHENSIVE_SR


def test_every_score_of_the_summary_can_be_read_back_to_the_last_bit(make_exam: Callable[..., Any]) -> None:
    """Exam, breasts and views: a reader that knows only the code for the probability finds the ledger's numbers."""
    exam = make_exam()
    found = probabilities(read(exam.render()[0]))
    left, right = exam.assessment.breasts
    assert found == pytest.approx(
        {
            (): exam.assessment.exam_probability,
            ("Left breast",): left.probability,
            ("Left breast", "L CC"): 0.732,
            ("Left breast", "L MLO"): 0.61,
            ("Right breast",): right.probability,
            ("Right breast", "R CC"): 0.021,
            ("Right breast", "R MLO"): 0.017,
        },
        rel=1e-15,
    )


def test_each_view_score_refers_to_its_image(make_exam: Callable[..., Any]) -> None:
    """Two images of one view can be told apart by the reference below their scores."""
    exam = make_exam(("L CC", "L CC", "R CC"), (0.2, 0.3, 0.01))
    references = {
        item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID: item.MeasuredValueSequence[0].NumericValue
        for path, item in items(read(exam.render()[0]))
        if item.ValueType == "NUM" and len(path) == 2
    }
    assert {uid: float(value) for uid, value in references.items()} == {
        score.sop_instance_uid: round(100 * score.probability, 1) for score in exam.assessment.images
    }


def test_summary_is_a_page_of_separate_lines(make_exam: Callable[..., Any]) -> None:
    """A viewer prints names only in SEPARATE containers, and an image item beside the text as an unsupported line."""
    dataset = read(make_exam().render()[0])
    assert name_of(dataset) == ("18748-4", "LN")
    containers = [dataset, *(item for _, item in items(dataset) if item.ValueType == "CONTAINER")]
    assert {container.ContinuityOfContent for container in containers} == {"SEPARATE"}
    assert not [child for container in containers for child in container.ContentSequence if child.ValueType == "IMAGE"]


def test_summary_says_what_made_it(make_exam: Callable[..., Any]) -> None:
    """Operating point, domain, scanner, release, bank and filters stand in the report in words."""
    exam = make_exam()
    said = texts(read(exam.render()[0]))
    assert said["Scanner"] == "HOLOGIC, Inc. / Selenia Dimensions / 1.8.3"
    assert said["Scanner domain"] == "hologic"
    assert said["Algorithm Version"] == "demonstration"
    assert said["Bank"] == "hologic@abababababab"
    assert said["Filters"] == f"sha256 {exam.release.filters_sha256}"
    assert "10.0 %" in said["Operating point"]
    assert "specificity of 90 %" in said["Operating point"]


def test_negative_report_has_every_image_in_evidence(make_exam: Callable[..., Any]) -> None:
    """Promise 10: a negative report opens too, which takes every image in its evidence, not assessed ones as well."""
    exam = make_exam(probabilities=NEGATIVE)
    (summary,) = exam.render()
    assert summary.description == "AI NEGATIVE 2 %"
    dataset = read(summary)
    assert evidence(dataset) == set(exam.headers)
    assert "AI RESULT: NEGATIVE." in texts(dataset)["Impression"]


def test_report_names_what_was_left_out(make_exam: Callable[..., Any]) -> None:
    """An image that is no screening view is listed with the reason, and stays in the evidence."""
    exam = make_exam()
    images = list(exam.revision.plan.images)
    images[3] = replace(images[3], not_assessed=NotAssessedReason.SPOT)
    exam.plan(images=tuple(images))
    exam.assessment = replace(exam.assessment, images=exam.assessment.images[:3], images_not_assessed=())
    dataset = read(exam.render()[0])
    assert texts(dataset)["Image"] == f"R MLO: {NotAssessedReason.SPOT}"
    assert evidence(dataset) == set(exam.headers)


def test_not_assessed_report_has_no_score_anywhere(make_exam: Callable[..., Any]) -> None:
    """Promise 8: shadow scores are kept and never shown, and neither is the bank that made them."""
    exam = make_exam()
    exam.not_assessed(NotAssessedReason.UNKNOWN_SCANNER)
    (summary,) = exam.render()
    assert summary.description == "AI NOT ASSESSED"
    dataset = read(summary)
    assert not [item for _, item in items(dataset) if item.ValueType == "NUM"]
    said = texts(dataset)
    assert not [text for text in said.values() if "%" in text or "hologic" in text]
    assert NotAssessedReason.UNKNOWN_SCANNER in said["Impression"]
    assert "do not read this as negative" in said["Impression"]
    assert evidence(dataset) == set(exam.headers)


def test_nearest_bank_is_said_so(make_exam: Callable[..., Any]) -> None:
    """Promise 8: with the policy *nearest* the report shows the score and says whose bank made it."""
    exam = make_exam()
    exam.plan(nearest=True)
    said = texts(read(exam.render()[0]))
    assert "the nearest bank (hologic) was used" in said["Impression"]
    assert "the nearest" in said["Scanner domain"]


def test_positive_view_of_a_negative_exam_is_explained(make_exam: Callable[..., Any]) -> None:
    """Where a view is marked although the exam is negative, the impression says why."""
    documents = make_exam(("L CC", "L MLO"), (0.12, 0.02)).render()
    assert [document.description for document in documents] == ["AI NEGATIVE 7 %", "AI L CC 12 %"]
    assert "Positive by itself, though the mean of its breast is not: left CC." in texts(read(documents[0]))["Impression"]


def test_region_report_holds_the_outline_and_only_planar_groups(make_exam: Callable[..., Any]) -> None:
    """TID 1500 with TID 1410 groups only: highdicom reads back outline, image, score and tracking."""
    exam = make_exam()
    document = exam.render()[1]
    report = highdicom.sr.srread(BytesIO(document.content))
    groups = report.content.get_planar_roi_measurement_groups()
    assert not report.content.get_image_measurement_groups()
    finding = exam.assessment.images[0].findings[0]
    assert [tuple(point) for point in groups[0].roi.value] == list(finding.outline)
    assert groups[0].roi.graphic_type == highdicom.sr.GraphicTypeValues.POLYLINE
    assert groups[0].get_measurements()[0].value == pytest.approx(100 * finding.probability, rel=1e-15)
    assert evidence(read(document)) == set(exam.headers)


def test_open_outline_is_closed(make_exam: Callable[..., Any]) -> None:
    """A polyline encloses a region only where its last point is its first (PS3.3 C.18.6.1.2)."""
    exam = make_exam()
    score = exam.assessment.images[0]
    finding = replace(score.findings[0], outline=((0.0, 0.0), (10.5, 0.0), (10.5, 20.0)))
    exam.assessment = replace(exam.assessment, images=(replace(score, findings=(finding,)), *exam.assessment.images[1:]))
    regions = [item for _, item in items(read(exam.render()[1])) if item.ValueType == "SCOORD"]
    assert list(regions[0].GraphicData) == [0.0, 0.0, 10.5, 0.0, 10.5, 20.0, 0.0, 0.0]


def tracking(document: Document) -> list[str]:
    return [item.UID for _, item in items(read(document)) if item.ValueType == "UIDREF" and name_of(item)[0] == "112040"]


def test_tracking_is_per_image_and_stays_over_revisions(make_exam: Callable[..., Any]) -> None:
    """One tracking UID per image, the same in a later revision of the study."""
    exam = make_exam()
    before = [tracking(document) for document in exam.render()[1:]]
    exam.revision = replace(exam.revision, number=2, predecessor=1)
    after = [tracking(document) for document in exam.render()[1:]]
    assert before == after
    assert before[0] != before[1]


def test_rendering_again_gives_the_same_bytes(make_exam: Callable[..., Any]) -> None:
    """Promise 4: the same input gives the same bytes, in another process and with another hash seed too."""
    exam = make_exam()
    for name in ("revision", "assessment", "release"):
        (exam.folder / f"{name}.json").write_text(to_json(getattr(exam, name)))
    program = (
        "import hashlib, pathlib, sys\n"
        "from dosremc_node.records import Assessment, Release, StudyRevision, from_json\n"
        "from dosremc_node.reporting import render\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "kinds = {'revision': StudyRevision, 'assessment': Assessment, 'release': Release}\n"
        "records = [from_json(kind, (folder / f'{name}.json').read_text()) for name, kind in kinds.items()]\n"
        "headers = {image.header.sop_instance_uid: folder / f'{n}.dcm' for n, image in enumerate(records[0].plan.images)}\n"
        "documents = render(*records, 'node-1', headers)\n"
        "print(hashlib.sha256(b''.join(document.content for document in documents)).hexdigest())\n"
    )
    seed = {"PYTHONHASHSEED": "17", "PATH": ""}
    run = subprocess.run([sys.executable, "-c", program, str(exam.folder)], env=seed, capture_output=True, text=True, check=True)
    documents = exam.render()
    assert run.stdout.strip() == hashlib.sha256(b"".join(document.content for document in documents)).hexdigest()
    assert documents == exam.render()


def test_uids_are_derived_from_all_that_a_document_depends_on(make_exam: Callable[..., Any]) -> None:
    """Promise 4: node, study, revision, release, kind, image and SOP class each change the UID; nothing else does."""
    revision = make_exam().revision
    kind = DocumentKind.REGION
    others = [
        document_uid("node-2", revision, kind, COMPREHENSIVE_SR, "1.2"),
        document_uid("node-1", replace(revision, who=replace(revision.who, study_instance_uid="1.9")), kind, COMPREHENSIVE_SR, "1.2"),
        document_uid("node-1", replace(revision, number=2), kind, COMPREHENSIVE_SR, "1.2"),
        document_uid("node-1", replace(revision, plan=replace(revision.plan, release_id="next")), kind, COMPREHENSIVE_SR, "1.2"),
        document_uid("node-1", revision, DocumentKind.SUMMARY, COMPREHENSIVE_SR, "1.2"),
        document_uid("node-1", revision, kind, COMPREHENSIVE_SR, "1.3"),
        document_uid("node-1", revision, kind, "1.2.840.10008.5.1.4.1.1.88.22", "1.2"),
        series_uid("node-1", revision, kind, COMPREHENSIVE_SR, "1.2"),
    ]
    first = document_uid("node-1", revision, kind, COMPREHENSIVE_SR, "1.2")
    assert len({first, *others}) == 1 + len(others)
    # A restored ledger may give a study another name: its documents stay the same ones.
    assert document_uid("node-1", replace(revision, study_id=StudyId("S-OTHER")), kind, COMPREHENSIVE_SR, "1.2") == first
    assert first == document_uid("node-1", replace(revision, opened_at=revision.opened_at + timedelta(1)), kind, COMPREHENSIVE_SR, "1.2")
    assert all(pydicom.uid.UID(uid).is_valid for uid in (first, *others))


def test_later_revision_names_its_predecessor(make_exam: Callable[..., Any]) -> None:
    """Promise 5: a late image makes a new report that names the documents it supersedes, in the tree and in words."""
    exam = make_exam()
    earlier = exam.render()
    exam.revision = replace(exam.revision, number=2, predecessor=1)
    study = exam.revision.who.study_instance_uid
    predecessors = [
        PredecessorDocument(document.sop_class_uid, document.sop_instance_uid, document.series_instance_uid, study) for document in earlier
    ]
    later = exam.render(predecessors=predecessors)
    for document in later:
        (named,) = read(document).PredecessorDocumentsSequence
        instances = {r.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for r in named.ReferencedSeriesSequence}
        assert instances == {document.sop_instance_uid for document in earlier}
    assert texts(read(later[0]))["Supersedes"] == "the report of revision 1; this is revision 2"
    assert not {document.sop_instance_uid for document in earlier} & {document.sop_instance_uid for document in later}


@pytest.mark.parametrize(("offset", "time", "written"), [("+0100", "103015.250000", "+0100"), ("-0330", "060015.250000", "-0330")])
def test_times_are_on_the_clock_of_the_images(make_exam: Callable[..., Any], offset: str, time: str, written: str) -> None:
    """Content Date and Time are the opening of the revision, in the offset that the copied study time is in."""
    dataset = read(make_exam(TimezoneOffsetFromUTC=offset).render()[0])
    assert (dataset.ContentDate, dataset.ContentTime, dataset.TimezoneOffsetFromUTC) == ("20260101", time, written)


@pytest.mark.parametrize("offset", [None, "", "nonsense", "+9900"])
def test_time_without_an_offset_is_the_machines(make_exam: Callable[..., Any], offset: str | None) -> None:
    """Without a valid offset in the images the documents have that of this machine's time zone."""
    exam = make_exam(**({} if offset is None else {"TimezoneOffsetFromUTC": offset}))
    dataset = read(exam.render()[0])
    moment = exam.revision.opened_at.astimezone()
    assert dataset.ContentTime == moment.strftime("%H%M%S.%f")
    assert dataset.TimezoneOffsetFromUTC == moment.strftime("%z")


@pytest.mark.parametrize(
    ("day", "time", "written"),
    [("20260110", "101010", "+0100"), ("20260710", "101010.5", "+0200"), ("20260329", "013000", "+0100"), ("20260329", "", "+0200")],
)
def test_time_without_an_offset_is_in_that_of_the_study(
    make_exam: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, day: str, time: str, written: str
) -> None:
    """Where the clocks change, a study without an offset keeps that of its own day and hour, whenever it is reported."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        tzset()
        exam = make_exam(StudyDate=day, StudyTime=time)
        dataset = read(exam.render()[0])
    tzset()
    moment = datetime.strptime(dataset.ContentDate + dataset.ContentTime + dataset.TimezoneOffsetFromUTC, "%Y%m%d%H%M%S.%f%z")
    assert (dataset.TimezoneOffsetFromUTC, moment) == (written, exam.revision.opened_at)


def test_every_document_says_research_use_and_names_its_release(make_exam: Callable[..., Any]) -> None:
    """Promise 14: unverified, research use and the release's statement in words, and the release as a device."""
    exam = make_exam()
    for document in exam.render():
        dataset = read(document)
        assert (dataset.VerificationFlag, dataset.CompletionFlag) == ("UNVERIFIED", "COMPLETE")
        said = " ".join(item.TextValue for _, item in items(dataset) if item.ValueType == "TEXT")
        assert "Research use only" in said
        assert exam.release.statement in said
        (equipment,) = dataset.ContributingEquipmentSequence
        assert (equipment.DeviceUID, equipment.SoftwareVersions) == (exam.release.device_uid, "demonstration")
        assert exam.release.statement in equipment.ContributionDescription


def test_film_exam_without_spacing_gets_its_region_reports(make_exam: Callable[..., Any]) -> None:
    """A secondary capture with Modality MG and neither spacing nor orientation is reported like any other."""
    exam = make_exam(ImagerPixelSpacing=None, PatientOrientation=None, SOPClassUID=SecondaryCaptureImageStorage)
    assert [document.description for document in exam.render()] == ["AI POSITIVE 67 %", "AI L CC 73 %", "AI L MLO 61 %"]


def test_no_identifier_is_logged(make_exam: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """Promise 13: neither we nor the libraries below print a name, a number or a UID."""
    with caplog.at_level(logging.DEBUG):
        make_exam(PatientName="CANARY^Name", PatientID="CANARY", AccessionNumber="CANARY", PatientBirthDate="CANARY").render()
    assert "CANARY" not in caplog.text
    assert "1.2.826.0.1.3680043.8.498" not in caplog.text
