"""Exams by the hundred: simulated in several processes, and seen as the node sees them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import cv2
from pydicom import dcmread

from dosremc_node import imaging, studies
from dosremc_node.records import ImageHeader, Laterality, PreprocessingSpec
from dosremc_node.simulation import Order, Vendor, simulate_exam

PITCH_MM = 0.5
"""Of simulated pixels: finer than the network's input, coarse enough to simulate thousands."""
CANCER_EVERY = 4
"""One exam in four has a cancer, not one in two hundred: a demonstration cannot wait for years."""
PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """``count`` women on a vendor's unit, ``a_day`` of them each day from ``first_day`` on. ``seed`` is the first woman's."""

    vendor: Vendor
    seed: int
    count: int
    first_day: date
    a_day: int = 60

    def order(self, number: int) -> Order:
        """The exam of the woman of that number."""
        side = (Laterality.LEFT, Laterality.RIGHT)[number // CANCER_EVERY % 2]
        malignant = side if number % CANCER_EVERY == 0 else None
        return Order(self.seed + number, self.vendor, malignant, PITCH_MM / self.vendor.pitch_mm)

    def patient(self, number: int) -> tuple[str, str]:
        """Her number and her exam's accession number, as the simulation gives them."""
        seed, key = self.seed + number, self.vendor.key
        return f"SIM-{key}-{seed:06d}", f"SIM{key}{seed:06d}"

    def day(self, number: int) -> date:
        """When her exam was."""
        return date.fromordinal(self.first_day.toordinal() + number // self.a_day)


@dataclass(frozen=True, slots=True, eq=False)
class SeenImage:
    """An image as it would have come: the digest of its file, its header, and its network input as it is kept."""

    sha256: str
    header: ImageHeader
    network_input: bytes


@dataclass(frozen=True, slots=True, eq=False)
class SeenExam:
    """``malignant`` is the side with the cancer."""

    images: tuple[SeenImage, ...]
    taken_on: date
    malignant: Laterality | None


def files_of(batch: Batch, number: int) -> tuple[bytes, ...]:
    """The files of one exam, under its day."""
    return tuple(_dated(image.content, batch.day(number)) for image in simulate_exam(batch.order(number)).images)


def seen(batch: Batch, spec: PreprocessingSpec, progress: Callable[[float], None]) -> Iterator[SeenExam]:
    """Every exam of a batch, in order; ``progress`` hears the share that is done."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        numbers = range(batch.count)
        made = pool.map(_seen, [batch] * batch.count, numbers, [spec] * batch.count, chunksize=8)
        for number, exam in zip(numbers, made, strict=True):
            progress((number + 1) / batch.count)
            yield exam


def _seen(batch: Batch, number: int, spec: PreprocessingSpec) -> SeenExam:
    cv2.setNumThreads(1)
    order = batch.order(number)
    files: Sequence[bytes] = [image.content for image in simulate_exam(order).images]
    return SeenExam(tuple(_image(content, batch.day(number), spec) for content in files), batch.day(number), order.malignant)


def _image(content: bytes, day: date, spec: PreprocessingSpec) -> SeenImage:
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(content)
        file.flush()
        header = studies.read_header(Path(file.name))
        side = header.laterality or Laterality.LEFT
        made = imaging.encode_input(imaging.prepare(Path(file.name), spec, side))
    header = replace(header, who=replace(header.who, study_date=day))
    return SeenImage(hashlib.sha256(content).hexdigest(), header, made)


def _dated(content: bytes, day: date) -> bytes:
    dataset = dcmread(BytesIO(content))
    for name in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(dataset, name, day.strftime("%Y%m%d"))
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()
