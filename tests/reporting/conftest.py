"""A study as reporting meets it: four views on disk, what the model said of them, and the release that said it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from dosremc_node.records import (
    Assessment,
    BankId,
    BreastScore,
    Document,
    DocumentKind,
    Domain,
    Finding,
    ImageHeader,
    ImageNotAssessed,
    ImageScore,
    InputGeometry,
    Laterality,
    NetworkInput,
    NotAssessedReason,
    OperatingPoint,
    PatientAndStudy,
    Picture,
    Plan,
    PredecessorDocument,
    PreprocessingSpec,
    Release,
    ScannerKey,
    StudyId,
    StudyImage,
    StudyRevision,
    View,
)
from dosremc_node.reporting import render

STUDY_UID = "1.2.826.0.1.3680043.8.498.1000"
NAMES = ("L CC", "L MLO", "R CC", "R MLO")
PROBABILITIES = (0.732, 0.61, 0.021, 0.017)
NEGATIVE_PROBABILITIES = (0.011, 0.010, 0.021, 0.017)
OUTLINE = ((200.0, 560.0), (360.0, 560.0), (360.0, 760.0), (200.0, 760.0), (200.0, 560.0))


@dataclass
class Exam:
    """What `render` takes, open to change before it is rendered."""

    folder: Path
    revision: StudyRevision
    assessment: Assessment
    release: Release
    headers: dict[str, Path] = field(default_factory=dict)
    predecessors: list[PredecessorDocument] = field(default_factory=list)

    def render(self, **further: Any) -> tuple[Document, ...]:
        usual = {"pictures": picture_of, "predecessors": self.predecessors}
        return render(self.revision, self.assessment, self.release, "node-1", self.headers, **{**usual, **further})

    def plan(self, **changes: Any) -> None:
        self.revision = replace(self.revision, plan=replace(self.revision.plan, **changes))

    def not_assessed(self, reason: NotAssessedReason) -> None:
        """Shadow: the scores stay in the assessment, and may not be shown."""
        self.assessment = replace(self.assessment, not_assessed=reason)
        self.plan(not_assessed=reason)


def picture_of(score: ImageScore) -> Picture:
    """A breast on the right side of the image, turned over for the network, most salient in the middle of `OUTLINE`."""
    geometry = InputGeometry(-2.0, 0.0, 1024.0, 0.0, 2.0, 0.0)
    row, column = np.mgrid[0:665, 0:512] + 0.5
    breast = np.hypot(column / 500.0, (row - 332.0) / 320.0) < 1.0
    pixels = np.where(breast, np.sin(row / 15.0) + np.cos(column / 23.0), 0.0).astype(np.float32)
    x, y = geometry.to_network((280.0, 660.0))
    saliency = np.exp(-np.hypot(column - x, row - y) / 60.0).astype(np.float32)
    return Picture(NetworkInput(pixels, breast, geometry, rows=1330, columns=1024), saliency[::5, ::4])


def image_uid(number: int) -> str:
    return f"{STUDY_UID}.{number}.1"


def mammogram(number: int, name: str, **attributes: Any) -> Dataset:
    """A For Presentation header as a unit writes it; an attribute set to None is left out."""
    laterality, view = name.split()
    dataset = Dataset()
    dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = image_uid(number)
    dataset.SeriesInstanceUID = f"{STUDY_UID}.{number}"
    dataset.StudyInstanceUID = STUDY_UID
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = "Doe^Jane", "P-1", "19600101", "F"
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber, dataset.StudyID = "20260101", "101010", "A-1", "1"
    dataset.ReferringPhysicianName = "Who^Doctor"
    dataset.StudyDescription = "Screening"
    dataset.Modality, dataset.ImageLaterality, dataset.ViewPosition = "MG", laterality, view
    dataset.Rows, dataset.Columns = 1330, 1024
    dataset.PatientOrientation = ["A", "R"]
    dataset.ImagerPixelSpacing = [0.07, 0.07]
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def _study_image(number: int, name: str, sop_class_uid: str) -> StudyImage:
    laterality, view = name.split()
    header = ImageHeader(
        who=PatientAndStudy(study_instance_uid=STUDY_UID, patient_id="P-1"),
        sop_instance_uid=image_uid(number),
        sop_class_uid=sop_class_uid,
        series_instance_uid=f"{STUDY_UID}.{number}",
        modality="MG",
        scanner=ScannerKey("HOLOGIC, Inc.", "Selenia Dimensions", "1.8.3"),
        laterality=Laterality(laterality),
        view=View(view),
        rows=1330,
        columns=1024,
    )
    return StudyImage(instance_id=number, sha256="0" * 64, header=header, not_assessed=None)


def _score(image: StudyImage, probability: float) -> ImageScore:
    assert image.header.laterality is not None
    assert image.header.view is not None
    positive = probability >= 0.1
    findings = (Finding(OUTLINE, (280.0, 660.0), probability),) if positive else ()
    return ImageScore(image.header.sop_instance_uid, image.header.laterality, image.header.view, 0.5, probability, positive, findings)


def _breasts(scores: tuple[ImageScore, ...]) -> tuple[BreastScore, ...]:
    breasts = []
    for side in Laterality:
        probabilities = [score.probability for score in scores if score.laterality is side]
        if probabilities:
            mean = sum(probabilities) / len(probabilities)
            breasts.append(BreastScore(side, mean, mean >= 0.1))
    return tuple(breasts)


def assessment_of(images: tuple[StudyImage, ...], probabilities: tuple[float, ...]) -> Assessment:
    scores = tuple(_score(image, probability) for image, probability in zip(images, probabilities, strict=False))
    breasts = _breasts(scores)
    left_out = tuple(ImageNotAssessed(i.header.sop_instance_uid, i.name, i.not_assessed) for i in images if i.not_assessed)
    exam = max((breast.probability for breast in breasts), default=None)
    return Assessment(scores, breasts, exam, any(breast.positive for breast in breasts), left_out, None)


def demonstration_release() -> Release:
    bank = BankId(Domain("hologic"), "ab" * 32)
    return Release(
        release_id="demonstration",
        parent=None,
        filters_sha256="cd" * 32,
        backbone_sha256="ef" * 32,
        preprocessing=PreprocessingSpec(512, 256, "window", "breast", "unit"),
        preprocessing_sha256="01" * 32,
        banks={bank.domain: bank},
        operating_points={"hologic": OperatingPoint(0.1, target="a specificity of 90 % on simulated exams")},
        device_uid="2.25.1234567890",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        approver="",
        demonstration=True,
        statement="Demonstration weights, trained on simulated images: no clinical meaning.",
    )


def _revision(images: tuple[StudyImage, ...], release: Release) -> StudyRevision:
    domain = Domain("hologic")
    plan = Plan(
        images=images,
        scanner=images[0].header.scanner,
        domain=domain,
        release_id=release.release_id,
        bank=release.banks[domain],
        operating_point=release.operating_points[domain],
        not_assessed=None,
    )
    opened = datetime(2026, 1, 1, 9, 30, 15, 250000, tzinfo=UTC)
    return StudyRevision(StudyId("S-ABCDEFGHIJKL"), 1, None, images[0].header.who, plan, opened)


@pytest.fixture(scope="session")
def make_exam(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Exam]:
    """A function that writes an exam to disk: ``make_exam(names, probabilities, **attributes of every image)``."""

    def make(names: tuple[str, ...] = NAMES, probabilities: tuple[float, ...] = PROBABILITIES, **attributes: Any) -> Exam:
        folder = tmp_path_factory.mktemp("exam")
        datasets = [mammogram(number, name, **attributes) for number, name in enumerate(names, start=1)]
        headers = {d.SOPInstanceUID: save(d, folder / f"{number}.dcm") for number, d in enumerate(datasets)}
        images = tuple(_study_image(n, name, str(datasets[n - 1].SOPClassUID)) for n, name in enumerate(names, start=1))
        release = demonstration_release()
        return Exam(folder, _revision(images, release), assessment_of(images, probabilities), release, headers)

    return make


@pytest.fixture(scope="session")
def make_assessment() -> Callable[..., Assessment]:
    return assessment_of


def partly_failed(exam: Exam) -> Exam:
    """The last view could not be decoded."""
    last = exam.revision.plan.images[-1]
    failed = ImageNotAssessed(last.header.sop_instance_uid, last.name, NotAssessedReason.UNREADABLE)
    exam.assessment = replace(exam.assessment, images=exam.assessment.images[:-1], images_not_assessed=(failed,))
    return exam


def wholly_failed(exam: Exam) -> Exam:
    """No view could be decoded."""
    reason = NotAssessedReason.UNREADABLE
    failed = tuple(ImageNotAssessed(each.header.sop_instance_uid, each.name, reason) for each in exam.revision.plan.images)
    exam.assessment = Assessment((), (), None, positive=False, images_not_assessed=failed, not_assessed=reason)
    return exam


def marked(exam: Exam, outlines: Sequence[tuple[tuple[float, float], ...]]) -> Exam:
    """The first view has these regions, and no other."""
    score = exam.assessment.images[0]
    findings = tuple(Finding(outline, outline[0], score.probability) for outline in outlines)
    exam.assessment = replace(exam.assessment, images=(replace(score, findings=findings), *exam.assessment.images[1:]))
    return exam


def revised(exam: Exam) -> Exam:
    """The second revision of an exam, whose documents of every kind name those of the first."""
    earlier = exam.render(kinds=tuple(DocumentKind))
    study = exam.revision.who.study_instance_uid
    exam.predecessors = [
        PredecessorDocument(each.sop_class_uid, each.sop_instance_uid, each.series_instance_uid, study) for each in earlier
    ]
    exam.revision = replace(exam.revision, number=2, predecessor=1)
    return exam


def shadowed(exam: Exam) -> Exam:
    """Nobody knows the scanner."""
    exam.not_assessed(NotAssessedReason.UNKNOWN_SCANNER)
    return exam


FORTY = [((0.0, 20.0 * n), (1024.0, 20.0 * n), (1024.0, 20.0 * n + 15.0)) for n in range(40)]
BORDER = [((0.0, 0.0), (1024.0, 0.0), (1024.0, 1330.0), (0.0, 1330.0)), ((1023.5, 1329.5), (1024.0, 1329.5), (1024.0, 1330.0))]
JAPANESE = {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Hanako=山田^花子=やまだ^はなこ"}
GREEK = {"SpecificCharacterSet": "ISO_IR 126", "PatientName": "Παπαδοπούλου^Ελένη"}
GERMAN = {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller-Weiß^Käthe", "StudyDescription": "Früherkennung"}
UTF_8 = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Nagy^Zsófia=山田=Ελένη"}
NO_NUMBERS = dict.fromkeys(("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName", "PatientName"))


@pytest.fixture(scope="session")
def extreme_exams(make_exam: Callable[..., Exam]) -> dict[str, Exam]:
    """Plain and extreme exams by what is odd about them, for the readers that nobody here wrote."""
    return {
        "positive": make_exam(),
        "negative": make_exam(probabilities=NEGATIVE_PROBABILITIES),
        "unknown-scanner": shadowed(make_exam()),
        "nothing-decoded": wholly_failed(make_exam()),
        "one-not-decoded": partly_failed(make_exam()),
        "one-view": make_exam(("L CC",), (0.5,)),
        "unilateral-five-views": make_exam(("R CC", "R MLO", "R CC", "R MLO", "R CC"), (0.5, 0.4, 0.3, 0.02, 0.01)),
        "forty-regions": marked(make_exam(), FORTY),
        "positive-without-region": marked(make_exam(), []),
        "region-at-border": marked(make_exam(), BORDER),
        "second-revision": revised(make_exam()),
        "film": make_exam(ImagerPixelSpacing=None, PatientOrientation=None, SOPClassUID=SecondaryCaptureImageStorage),
        "no-numbers": make_exam(**NO_NUMBERS),
        "no-accession-number": make_exam(AccessionNumber=""),
        "japanese": make_exam(**JAPANESE),
        "greek": make_exam(**GREEK),
        "german": make_exam(**GERMAN),
        "utf-8": make_exam(**UTF_8),
    }


@dataclass(frozen=True)
class Filed:
    """A document on disk, and the exam that it is of."""

    name: str
    exam: Exam
    document: Document
    path: Path


@pytest.fixture(scope="session")
def filed(extreme_exams: dict[str, Exam], tmp_path_factory: pytest.TempPathFactory) -> list[Filed]:
    """Every kind of document of every extreme exam."""
    folder = tmp_path_factory.mktemp("filed")
    documents = []
    for name, exam in extreme_exams.items():
        for place, document in enumerate(exam.render(kinds=tuple(DocumentKind))):
            path = folder / f"{name}-{place}-{document.kind}.dcm"
            path.write_bytes(document.content)
            documents.append(Filed(name, exam, document, path))
    return documents


@pytest.fixture(scope="session")
def failures() -> dict[str, Callable[[Exam], Exam]]:
    """What makes an exam partly or wholly fail."""
    return {"partly": partly_failed, "wholly": wholly_failed}
