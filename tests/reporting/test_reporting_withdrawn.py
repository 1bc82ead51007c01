"""What reports say of images that a rejection note withdrew, and what they leave unsaid (promise 5)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.documents import DCIODVFY, evidence, items, name_of, read

from dosremc_node.records import Assessment, Document, DocumentKind, NotAssessedReason, PredecessorDocument


def withdrawn(exam: Any, make_assessment: Callable[..., Assessment], *, count: int) -> Any:
    """The second revision of an exam, without its first ``count`` images, as the ledger opens it."""
    earlier = exam.render(kinds=tuple(DocumentKind))
    study = exam.revision.who.study_instance_uid
    exam.predecessors = [PredecessorDocument(d.sop_class_uid, d.sop_instance_uid, d.series_instance_uid, study) for d in earlier]
    exam.revision = replace(exam.revision, number=2, predecessor=1)
    images = tuple(replace(image, not_assessed=NotAssessedReason.WITHDRAWN_FOR_SAFETY) for image in exam.revision.plan.images[:count])
    left = exam.revision.plan.images[count:]
    if left:
        probabilities = [score.probability for score in exam.assessment.images[count:]]
        exam.assessment = make_assessment(left, probabilities)
        exam.plan(images=left, withdrawn=images)
    else:
        exam.assessment = replace(make_assessment(images, ()), not_assessed=NotAssessedReason.ALL_WITHDRAWN)
        exam.plan(images=images, bank=None, domain=None, operating_point=None, not_assessed=NotAssessedReason.ALL_WITHDRAWN)
    return exam


def words(document: Document) -> str:
    return "\n".join(str(item.TextValue) for _, item in items(read(document)) if "TextValue" in item)


def assert_valid(documents: tuple[Document, ...], folder: Path) -> None:
    for place, document in enumerate(documents):
        path = folder / f"{place}.dcm"
        path.write_bytes(document.content)
        run = subprocess.run([DCIODVFY, path], capture_output=True, text=True, check=False)
        assert not [line for line in run.stderr.splitlines() if line.startswith("Error")], document.kind


def test_a_withdrawn_image_is_named_in_words_only(
    make_exam: Callable[..., Any], make_assessment: Callable[..., Assessment], tmp_path: Path
) -> None:
    """Summary and CAD report say which image was withdrawn and why; no document refers to it, all name what they supersede."""
    exam = withdrawn(make_exam(), make_assessment, count=1)
    documents = exam.render(kinds=tuple(DocumentKind))
    gone = exam.revision.plan.withdrawn[0].header.sop_instance_uid
    assert documents
    for document in documents:
        assert gone.encode() not in document.content
        if read(document).Modality == "SR":
            assert len(evidence(read(document))) == 3
            assert "PredecessorDocumentsSequence" in read(document)
    for document in (each for each in documents if each.kind in (DocumentKind.SUMMARY, DocumentKind.CAD)):
        assert "L CC: Withdrawn by a rejection note for patient safety reasons." in words(document)
    assert "1 image was withdrawn" in words(documents[0])
    assert_valid(documents, tmp_path)


def test_a_wholly_withdrawn_study_is_reported_as_not_assessed(
    make_exam: Callable[..., Any], make_assessment: Callable[..., Assessment], tmp_path: Path
) -> None:
    """With the reason in words, no score, the withdrawn images as what it speaks of, and the superseded documents."""
    exam = withdrawn(make_exam(), make_assessment, count=4)
    documents = exam.render(kinds=tuple(DocumentKind))
    assert [document.kind for document in documents] == [
        DocumentKind.SUMMARY,
        DocumentKind.CAD,
        DocumentKind.PDF,
        DocumentKind.REJECTION_NOTE,
    ]
    for document in documents[:2]:
        assert "Every image of the study was withdrawn by a rejection note." in words(document)
        assert not [item for _, item in items(read(document)) if item.get("ValueType") == "NUM" and name_of(item)[0] == "111047"]
        assert len(evidence(read(document))) == 4
        assert "PredecessorDocumentsSequence" in read(document)
    assert words(documents[0]).count("Withdrawn by a rejection note for patient safety reasons.") == 4
    assert_valid(documents, tmp_path)


def tracked(documents: tuple[Document, ...]) -> set[tuple[str, str]]:
    """Tracking identifier and UID of every finding that any structured report holds."""
    found: dict[tuple[int, tuple[str, ...]], dict[str, str]] = {}
    for number, document in enumerate(documents):
        last = ""
        for path, item in items(read(document)):
            if item.get("ValueType") == "TEXT" and name_of(item)[0] == "112039":
                last = str(item.TextValue)
            if item.get("ValueType") == "UIDREF" and name_of(item)[0] == "112040":
                found[number, (*path, last)] = {last: str(item.UID)}
    return {pair for each in found.values() for pair in each.items()}


def test_a_finding_keeps_its_tracking_when_a_late_image_comes_or_a_view_is_withdrawn(
    make_exam: Callable[..., Any], make_assessment: Callable[..., Assessment]
) -> None:
    """The same finding of the same image has one tracking identifier and UID in every revision and every document."""
    whole = make_exam(probabilities=(0.7, 0.6, 0.5, 0.4))
    every = tracked(whole.render(kinds=tuple(DocumentKind)))
    assert len(every) == 4
    early = make_exam(probabilities=(0.7, 0.6, 0.5, 0.4))
    early.plan(images=early.revision.plan.images[:3])
    early.assessment = make_assessment(early.revision.plan.images, (0.7, 0.6, 0.5))
    assert tracked(early.render(kinds=tuple(DocumentKind))) == {pair for pair in every if not pair[0].startswith("R MLO")}
    less = tracked(withdrawn(whole, make_assessment, count=1).render(kinds=tuple(DocumentKind)))
    assert less == {pair for pair in every if not pair[0].startswith("L CC")}


def test_a_missing_picture_costs_what_is_drawn_from_it_alone(make_exam: Callable[..., Any]) -> None:
    """Everything else of the revision is rendered as it would be."""
    exam = make_exam()
    kinds = tuple(DocumentKind)
    drawn = {DocumentKind.CAPTURE, DocumentKind.SALIENCY}
    expected = [document for document in exam.render(kinds=kinds) if document.kind not in drawn]
    assert list(exam.render(kinds=kinds, pictures=lambda _: None)) == expected
