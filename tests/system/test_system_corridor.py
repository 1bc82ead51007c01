"""The whole corridor with real peers: DCMTK's dcmsend as the modality, the node as processes of its own, Orthanc as the PACS."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from harness.node import RunningNode, files, send_to, wait_until
from harness.rejections import rejection_note
from pydicom import Dataset, dcmread
from pydicom.uid import (
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    MammographyCADSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from dosremc_node.records import DocumentKind, Laterality, NotAssessedReason
from dosremc_node.simulation import SimulatedExam, film_exam_as_is, send
from dosremc_node.simulation.pacs import Orthanc, Pacs
from dosremc_node.simulation.stand_in_pacs import StandInPacs

pytestmark = pytest.mark.system

ExamOf = Callable[..., SimulatedExam]
StartNode = Callable[..., RunningNode]


def documents_on(pacs: Pacs, study_instance_uid: str) -> list[Dataset]:
    """All that a PACS has of a study."""
    everything = (dcmread(BytesIO(pacs.fetch(instance))) for instance in pacs.instances())
    return [each for each in everything if each.StudyInstanceUID == study_instance_uid]


def reports_on(pacs: Pacs, study_instance_uid: str) -> list[Dataset]:
    """The structured reports that a PACS has of a study."""
    return [each for each in documents_on(pacs, study_instance_uid) if each.SOPClassUID == ComprehensiveSRStorage]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningNode, StandInPacs]]:
    """A node and its PACS for several tests, which look at their own study only."""
    folder = tmp_path_factory.mktemp("corridor")
    with StandInPacs(folder / "pacs") as pacs:
        node = RunningNode(folder / "node", [pacs], "reception.processes=1")
        node.start()
        yield node, pacs
        node.end()


def study_in(node: RunningNode, study_instance_uid: str) -> dict[str, Any]:
    """What the node says of one study."""
    (study,) = (each for each in node.studies() if each["study_id"] == node.study_of(study_instance_uid))
    return study


def has_reached(node: RunningNode, exam: SimulatedExam, state: str, revision: int) -> bool:
    study = study_in(node, exam.study_instance_uid)
    return (study["state"], study["revision"]) == (state, revision)


def all_items(dataset: Dataset) -> list[Dataset]:
    """Every content item of a report, in order."""
    below = [item for each in dataset.get("ContentSequence", []) for item in all_items(each)]
    return [dataset, *below]


def is_summary(report: Dataset) -> bool:
    return bool(report.ConceptNameCodeSequence[0].CodeValue == "18748-4")


def evidence(report: Dataset) -> set[str]:
    """The images that a report names as its evidence."""
    return {
        str(reference.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }


def texts(report: Dataset) -> str:
    """Everything that a report says in words."""
    return "\n".join(str(item.TextValue) for item in all_items(report) if "TextValue" in item)


def test_a_study_that_dcmsend_sends_comes_back_as_reports_on_orthanc(
    orthanc: Orthanc, start_node: StartNode, exam_of: ExamOf, dcmtk: Callable[[str], str], tmp_path: Path
) -> None:
    """Evidence holds all images, regions lie on the breast, scores equal the ledger's, domain and bank are named."""
    node, exam = start_node(orthanc), exam_of("B", 3, Laterality.LEFT)
    paths = files(exam, tmp_path / "exam")
    reception = node.settings.reception
    subprocess.run(
        [dcmtk("dcmsend"), "-aec", node.settings.node.ae_title, reception.host, str(reception.port), *map(str, paths)], check=True
    )
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")

    (study,) = json.loads(node.run("status", "--all", "--json").stdout)["studies"]
    assert [study] == node.studies()
    reports, rows = reports_on(orthanc, exam.study_instance_uid), json.loads(node.run("reports", "--json").stdout)
    assert {str(report.SOPInstanceUID) for report in reports} == {row["sop_instance_uid"] for row in rows}
    (summary,) = filter(is_summary, reports)
    assert evidence(summary) == {image.sop_instance_uid for image in exam.images}
    assert study["domain"] == "simulated-b"
    assert "simulated-b" in texts(summary)
    assert rows[0]["bank_sha256"][:12] in texts(summary)
    assert "no clinical meaning" in texts(summary)
    assert {report.VerificationFlag for report in reports} == {"UNVERIFIED"}

    assessment = node.assessment(study["study_id"])
    printed = [float(item.MeasuredValueSequence[0].FloatingPointValue) for item in all_items(summary) if "MeasuredValueSequence" in item]
    kept = [assessment.exam_probability, *(each.probability for each in (*assessment.breasts, *assessment.images))]
    assert sorted(printed) == pytest.approx(sorted(100.0 * value for value in kept if value is not None), abs=0.0, rel=1e-12)

    images = {str(image.SOPInstanceUID): image for image in map(dcmread, paths)}
    regions = [report for report in reports if not is_summary(report)]
    assert len(regions) == sum(1 for image in assessment.images if image.positive)
    for region in regions:
        assert_on_the_breast(region, images)


def test_a_destination_that_asks_for_every_kind_of_document_gets_them(orthanc: Orthanc, start_node: StartNode, exam_of: ExamOf) -> None:
    """Orthanc has one of each for the study or for each positive image, and all of them mark the same regions."""
    node, exam = start_node(orthanc, documents=tuple(DocumentKind)), exam_of("B", 3, Laterality.LEFT)
    send_to(node, [image.content for image in exam.images])
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")

    documents = [dcmread(BytesIO(orthanc.fetch(instance))) for instance in orthanc.instances()]
    positive = [image for image in node.assessment(node.study_of(exam.study_instance_uid)).images if image.positive]
    assert positive
    found = Counter(str(document.SOPClassUID) for document in documents)
    assert found == {
        ComprehensiveSRStorage: 1 + len(positive),
        MammographyCADSRStorage: 1,
        SecondaryCaptureImageStorage: len(positive),
        GrayscaleSoftcopyPresentationStateStorage: len(positive),
        EncapsulatedPDFStorage: 1,
        SegmentationStorage: len(positive),
    }
    unmarked = {SecondaryCaptureImageStorage, EncapsulatedPDFStorage, SegmentationStorage}
    marks = {kind: outlines([each for each in documents if each.SOPClassUID == kind]) for kind in found if kind not in unmarked}
    (expected,) = {tuple(sorted(each)) for each in marks.values()}
    assert len(expected) == sum(len(image.findings) for image in positive)
    for picture in (each for each in documents if each.SOPClassUID == SecondaryCaptureImageStorage):
        assert picture.pixel_array.std() > 10


def outlines(documents: list[Dataset]) -> list[tuple[float, ...]]:
    """Every outline that reports or presentation states draw, as its coordinates."""
    items = [item for document in documents for item in all_items(document)]
    graphics = [
        graphic for each in documents for layer in each.get("GraphicAnnotationSequence", []) for graphic in layer.GraphicObjectSequence
    ]
    return [tuple(each.GraphicData) for each in (*items, *graphics) if each.get("GraphicType") == "POLYLINE"]


def assert_on_the_breast(region: Dataset, images: dict[str, Dataset]) -> None:
    """Every outline must lie where the image is not air: judged by a threshold of the test's own on the stored pixels."""
    for item in all_items(region):
        if item.get("ValueType") != "SCOORD":
            continue
        image = images[str(item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)]
        outline = np.array(item.GraphicData, dtype=np.float32).reshape(-1, 2)
        mask = np.zeros((image.Rows, image.Columns), np.uint8)
        cv2.fillPoly(mask, [outline.round().astype(np.int32)], 1)
        assert mask.sum() > 0
        assert breast_of(image)[mask == 1].mean() > 0.9


def breast_of(image: Dataset) -> np.ndarray:
    """Where the breast is: what Otsu's threshold tells from the air, which is bright in MONOCHROME1."""
    grey = cv2.GaussianBlur(cv2.normalize(image.pixel_array.astype(np.float32), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8), (0, 0), 5)
    _, mask = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    filled = 1 - mask if image.PhotometricInterpretation == "MONOCHROME1" else mask
    return cv2.morphologyEx(filled, cv2.MORPH_CLOSE, np.ones((61, 61), np.uint8))


def test_the_same_study_twice_yields_one_set_of_documents(shared: tuple[RunningNode, StandInPacs], exam_of: ExamOf) -> None:
    """Once (promise 4), whether it comes again before or after its report."""
    (node, pacs), exam = shared, exam_of("A", 1, Laterality.RIGHT)
    contents = [image.content for image in exam.images]
    send_to(node, contents)
    send_to(node, contents)
    wait_until(lambda: has_reached(node, exam, "done", 1), "the study is done")
    before = sorted(each.SOPInstanceUID for each in documents_on(pacs, exam.study_instance_uid))
    send_to(node, contents)
    study = study_in(node, exam.study_instance_uid)
    assert (study["state"], study["revision"], study["images"], study["due_at"]) == ("done", 1, 4, None)
    assert sorted(each.SOPInstanceUID for each in documents_on(pacs, exam.study_instance_uid)) == before


@pytest.mark.slow
def test_the_same_study_gets_the_same_score_to_the_last_bit(stand_in_pacs: StandInPacs, start_node: StartNode, exam_of: ExamOf) -> None:
    """Promise 6, on two nodes that know nothing of each other, and whatever else they assess beside it."""
    exam, other = exam_of("C", 5, Laterality.LEFT), exam_of("C", 6)
    logits = []
    for name, companions in (("first", []), ("second", [other])):
        node = start_node(stand_in_pacs, name=name)
        for each in [*companions, exam]:
            send_to(node, [image.content for image in each.images])
        wait_until(lambda node=node: all(study["state"] == "done" for study in node.studies()), "everything is done")
        assessment = node.assessment(node.study_of(exam.study_instance_uid))
        logits.append({image.sop_instance_uid: image.logit.hex() for image in assessment.images})
        node.stop()
    assert logits[0] == logits[1]
    assert len(logits[0]) == 4


def test_a_late_image_makes_a_new_report_that_names_the_one_before(shared: tuple[RunningNode, StandInPacs], exam_of: ExamOf) -> None:
    """Promise 5."""
    (node, pacs), exam = shared, exam_of("A", 2, Laterality.RIGHT)
    contents = [image.content for image in exam.images]
    send_to(node, contents[:3])
    wait_until(lambda: has_reached(node, exam, "done", 1), "three views are assessed")
    send_to(node, contents[3:])
    wait_until(lambda: has_reached(node, exam, "done", 2), "four views are assessed")
    summaries = [report for report in reports_on(pacs, exam.study_instance_uid) if is_summary(report)]
    first, second = sorted(summaries, key=lambda report: len(evidence(report)))
    named = {
        str(reference.ReferencedSOPInstanceUID)
        for study in second.PredecessorDocumentsSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    assert str(first.SOPInstanceUID) in named
    assert len(evidence(second)) == 4


def test_a_pacs_that_routes_everything_to_the_node_makes_no_loop(start_node: StartNode, exam_of: ExamOf, orthanc: Orthanc) -> None:
    """Promise 5: Orthanc sends on whatever it gets, our own reports too. Nothing is assessed twice, no report of a report is made."""
    node = start_node(orthanc)
    orthanc.stop()
    orthanc.routes_everything_to(node.settings.node.ae_title, node.settings.reception.port)
    orthanc.start()
    exam = exam_of("A", 1, Laterality.RIGHT)
    send([image.content for image in exam.images], orthanc.host, orthanc.port, called=orthanc.ae_title)
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")
    documents = len(node.artifacts("documents"))
    wait_until(lambda: node.log.read_text().count("object_ignored") >= documents, "every report came back")
    assert [(study["state"], study["revision"], study["images"], study["due_at"]) for study in node.studies()] == [("done", 1, 4, None)]
    assert len(orthanc.instances()) == documents + len(exam.images)


def test_an_unknown_scanner_is_scored_in_the_shadow_and_nothing_is_shown(shared: tuple[RunningNode, StandInPacs]) -> None:
    """Promise 8: the film exam as it is names no known scanner; its reports hold no score, the ledger does."""
    node, pacs = shared
    (film,) = film_exam_as_is()[:1]
    study_instance_uid = str(dcmread(BytesIO(film), stop_before_pixels=True).StudyInstanceUID)
    send_to(node, [film])
    wait_until(lambda: study_in(node, study_instance_uid)["state"] == "done", "the study is done")
    (report,) = reports_on(pacs, study_instance_uid)
    assert not [item for item in all_items(report) if "MeasuredValueSequence" in item]
    assert report.SeriesDescription == "AI NOT ASSESSED"
    assessment = node.assessment(node.study_of(study_instance_uid))
    assert assessment.not_assessed in (NotAssessedReason.UNKNOWN_SCANNER, NotAssessedReason.NO_IMAGES)


def test_a_rejection_note_takes_an_image_and_its_report_back(shared: tuple[RunningNode, StandInPacs], exam_of: ExamOf) -> None:
    """Promise 5: the next report does without the image, says so and names its predecessor; with every image gone it is none but a reason."""
    (node, pacs), exam = shared, exam_of("A", 3, Laterality.RIGHT)
    contents = [image.content for image in exam.images]
    send_to(node, contents)
    wait_until(lambda: has_reached(node, exam, "done", 1), "four views are assessed")
    send_to(node, [rejection_note(contents[:1], "113037")[0]])
    wait_until(lambda: has_reached(node, exam, "done", 2), "three views are assessed")
    send_to(node, contents[:1])
    send_to(node, [rejection_note(contents[1:], "113038")[0]])
    wait_until(lambda: has_reached(node, exam, "done", 3), "nothing is left")
    study = study_in(node, exam.study_instance_uid)
    assert (study["images"], study["withdrawn"]) == (0, 4)
    summaries = [report for report in reports_on(pacs, exam.study_instance_uid) if is_summary(report)]
    first, second, third = sorted(summaries, key=lambda report: int(report.SeriesNumber))
    assert len(evidence(first)) == 4
    assert evidence(second) == {image.sop_instance_uid for image in exam.images[1:]}
    assert str(NotAssessedReason.WITHDRAWN_FOR_SAFETY) in texts(second)
    assert third.SeriesDescription == "AI NOT ASSESSED"
    assert str(NotAssessedReason.ALL_WITHDRAWN) in texts(third)
    assert "PredecessorDocumentsSequence" in second
    assert "PredecessorDocumentsSequence" in third
