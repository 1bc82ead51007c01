"""No patient in the logs (promise 13): canary values in every identifying attribute, looked for in everything that the node writes or shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from harness.node import RunningNode, wait_until
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_dict
from pydicom.uid import UID

from dosremc_node.records import Laterality
from dosremc_node.simulation import SimulatedExam, send
from dosremc_node.simulation.stand_in_pacs import StandInPacs

pytestmark = pytest.mark.system

WORD = "KANARIENVOGEL"
NUMBER = "77665544332211"
# Groups 0010 (patient) and 0008/0032/0038/0040 (who, where, when ordered): PS3.15 Table E.1-1 protects nearly all of them.
IDENTIFYING_GROUPS = (0x0008, 0x0010, 0x0032, 0x0038, 0x0040)
NEEDED_TO_BE_READ = {
    "SpecificCharacterSet",
    "SOPClassUID",
    "Modality",
    "ImageType",
    "PresentationIntentType",
    "Manufacturer",
    "ManufacturerModelName",
}
VALUES = {
    "PN": f"{WORD}^PERSON",
    "LO": f"{WORD} LO",
    "SH": WORD,
    "LT": f"{WORD} LT",
    "ST": f"{WORD} ST",
    "UT": f"{WORD} UT",
    "UC": f"{WORD} UC",
    "DA": "19131214",
    "AS": "099Y",
}
TRACES = (WORD, NUMBER, "19131214")


def with_canaries(content: bytes, number: int) -> Dataset:
    """The image with a canary in every identifying attribute that it can carry, UIDs included."""
    dataset = pydicom.dcmread(BytesIO(content))
    for keyword, tag in keyword_dict.items():
        value = VALUES.get(dictionary_VR(tag))
        if tag >> 16 in IDENTIFYING_GROUPS and value and keyword not in NEEDED_TO_BE_READ:
            setattr(dataset, keyword, value)
    dataset.StudyInstanceUID = UID(f"2.25.{NUMBER}")
    dataset.SeriesInstanceUID = UID(f"2.25.{NUMBER}.1.{number}")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"2.25.{NUMBER}.2.{number}")
    return dataset


def encoded(dataset: Dataset) -> bytes:
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def broken(dataset: Dataset) -> Iterator[bytes]:
    """Objects that something must complain of: half the pixels, a lying header, no view, an odd value in a known place."""
    for number, spoil in enumerate((_half_the_pixels, _lying_header, _no_view, _odd_values), start=900):
        other = pydicom.dcmread(BytesIO(encoded(dataset)))
        other.StudyInstanceUID = UID(f"2.25.{NUMBER}.{number}")
        other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = UID(f"2.25.{NUMBER}.2.{number}")
        spoil(other)
        yield encoded(other)


def _half_the_pixels(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 4 * 2]


def _lying_header(dataset: Dataset) -> None:
    dataset.Rows = 4 * dataset.Rows


def _no_view(dataset: Dataset) -> None:
    del dataset.ViewCodeSequence
    dataset.ViewPosition = WORD


def _odd_values(dataset: Dataset) -> None:
    dataset.SoftwareVersions = "1"
    dataset.add_new("PatientBirthDate", "DA", f"{WORD}")
    dataset.add_new("PatientAge", "AS", f"{WORD}")


def everything_that_it_wrote(node: RunningNode) -> Iterator[tuple[str, str]]:
    """Logs, metrics, the engine's rows, and the names of its files; the ledger and the artifacts may know the patient."""
    yield "the log", node.log.read_text()
    yield "the metrics", node.probe("/metrics") or ""
    yield "readiness", node.probe("/readyz") or ""
    for table in sqlite3.connect(node.folder / "engine.sqlite").iterdump():
        yield "the engine's rows", table
    yield "file names", "\n".join(str(path) for path in node.folder.rglob("*"))
    for command in ("status", "doctor"):
        answer = node.run(command)
        yield command, answer.stdout + answer.stderr


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom, of the values that this test makes odd on purpose
def test_no_canary_gets_into_logs_metrics_errors_or_the_engine(
    stand_in_pacs: StandInPacs, start_node: Callable[..., RunningNode], exam_of: Callable[..., SimulatedExam], tmp_path: Path
) -> None:
    """A positive exam, the same exam again with other bytes, broken objects, and a PACS that refuses with a comment."""
    node = start_node(stand_in_pacs)
    images = [with_canaries(image.content, number) for number, image in enumerate(exam_of("A", 1, Laterality.RIGHT).images)]
    variant = pydicom.dcmread(BytesIO(encoded(images[0])))
    variant.StudyDescription = f"{WORD} again"
    contents = [*map(encoded, images), encoded(variant), *broken(images[1])]
    stand_in_pacs.status = 0xC123
    send(contents, "127.0.0.1", node.settings.reception.port, called=node.settings.node.ae_title)
    wait_until(lambda: {study["state"] for study in node.studies()} == {"parked"}, "everything is parked by the refusal")
    stand_in_pacs.status = 0x0000
    node.run("retry", "all")
    wait_until(lambda: {study["state"] for study in node.studies()} == {"done"}, "everything is done")
    node.kill()
    node.start()
    assert any(WORD.encode() in path.read_bytes() for path in stand_in_pacs.folder.iterdir()), "the reports carry the canary: it was there"
    found = [(place, trace) for place, text in everything_that_it_wrote(node) for trace in TRACES if trace in text]
    assert found == []
