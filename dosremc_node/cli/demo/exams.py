"""What the modality of the demonstration sends: one real film exam twice, and a woman who never lived on each vendor's unit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import dcmread

from dosremc_node.records import Laterality
from dosremc_node.simulation import VENDORS, Order, SimulatedExam, Truth, film_exam, film_exam_as_is, simulate_exam

SIMULATED = (("A", 101, Laterality.LEFT), ("B", 102, None), ("C", 103, Laterality.RIGHT), ("D", 104, Laterality.LEFT))
"""Vendor, woman, and the breast with the malignant lesion."""


@dataclass(frozen=True, slots=True)
class DemoStudy:
    """One study to send. ``truth`` says in words what is known of it, ``lesions`` where it lies, by SOP Instance UID."""

    title: str
    folder: str
    study_instance_uid: str
    manufacturer: str
    files: tuple[bytes, ...] = field(repr=False)
    truth: str
    lesions: dict[str, Truth] = field(default_factory=dict)


def studies_to_send() -> Iterable[DemoStudy]:
    """The studies, one after the other as they are made; raises `FilmExamMissing`."""
    yield _film(film_exam())
    yield from _film_as_it_is(film_exam_as_is())
    for key, seed, malignant in SIMULATED:
        yield _simulated(key, simulate_exam(Order(seed, VENDORS[key], malignant)))


def how_many() -> tuple[int, int]:
    """How many studies and images there will be."""
    views = len(film_exam_as_is())
    return 1 + views + len(SIMULATED), 2 * views + 4 * len(SIMULATED)


def _film(exam: SimulatedExam) -> DemoStudy:
    truth = "under a unit's headers; left breast malignant, right benign, both proven. The demonstration weights have never seen film."
    return DemoStudy("Real film exam", "film", exam.study_instance_uid, exam.manufacturer, _contents(exam), truth)


def _film_as_it_is(files: Sequence[bytes]) -> Iterable[DemoStudy]:
    """The public files: every view is a secondary capture with a study, and a patient, of its own."""
    for number, content in enumerate(files, start=1):
        header = dcmread(BytesIO(content), stop_before_pixels=True)
        title = f"The same film as it is, {number} of {len(files)}"
        yield DemoStudy(title, f"film-as-is-{number}", str(header.StudyInstanceUID), "not in the header", (content,), "a file as published")


def _simulated(key: str, exam: SimulatedExam) -> DemoStudy:
    truth = f"a malignant lesion in the {exam.malignant.word} breast" if exam.malignant else "no malignant lesion"
    lesions = {image.sop_instance_uid: image.lesion for image in exam.images if image.lesion}
    return DemoStudy(
        f"Simulated exam, vendor {key}",
        f"vendor-{key.lower()}",
        exam.study_instance_uid,
        exam.manufacturer,
        _contents(exam),
        truth,
        lesions,
    )


def _contents(exam: SimulatedExam) -> tuple[bytes, ...]:
    return tuple(image.content for image in exam.images)
