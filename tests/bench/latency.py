"""How long the radiologist waits: from the last image's C-STORE response to the study's last report on Orthanc."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from harness.studies import copy_of_study
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from bench.exams import JPEG_2000, UNCOMPRESSED, eight_views, full_size_image, full_size_study
from bench.measuring import Result, Scope, milliseconds
from bench.nodes import Watched, watched_node
from dosremc_node import delivery, reporting
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.inference import InferenceEngine
from dosremc_node.records import DocumentFile, Laterality
from dosremc_node.releases import default_shelf
from dosremc_node.settings import SHIPPED_RELEASE, ReleaseSettings, WorkerSettings

QUIET_SECONDS = 2.0
"""A study with more than the four views is complete only after this long without a further one: it is part of what is measured."""


def run(scope: Scope) -> Iterator[Result]:
    """`latency.4.<syntax>` and `latency.8.<syntax>`, medians of five studies.

    ``floor_ms`` is what cannot be spared once the last image is there: its network input, its score, and sending one report.
    """
    for syntax in (UNCOMPRESSED, JPEG_2000):
        four = [path.read_bytes() for path in full_size_study(scope.data, syntax)]
        for views, images in ((4, four), (8, eight_views(four))):
            with watched_node(scope.work / f"{syntax}-{views}", f"studies.quiet_seconds={QUIET_SECONDS}") as watched:
                _study(watched, copy_of_study(images, "warm-up"), 1)
                waits = [_study(watched, copy_of_study(images, f"W{number}"), number + 2) for number in range(scope.times(5))]
                further = {"floor_ms": _floor(scope, syntax, watched)} | ({"quiet_ms": QUIET_SECONDS * 1000} if views > 4 else {})
            yield Result(f"latency.{views}.{syntax}", median(waits), "ms", further=further)


def _study(watched: Watched, images: list[bytes], number: int) -> float:
    """Milliseconds for one study, the ``number``-th that the node gets."""
    sent = watched.send(images)
    return (watched.wait_for_reports(number) - sent) * 1000


def _floor(scope: Scope, syntax: str, watched: Watched) -> float:
    release, settings = default_shelf(ReleaseSettings()).load(SHIPPED_RELEASE), WorkerSettings()
    engine, bank, path = InferenceEngine(), release.release.banks[min(release.release.banks)], full_size_image(scope.data, syntax)
    document = _document(watched)
    with ImagingWorkers(1, settings.decoding_seconds, settings.decoding_megabytes) as workers:

        def all_of_it() -> None:
            engine.score(release, bank, workers.prepare(path, release.release.preprocessing, Laterality.LEFT))
            delivery.send(watched.node.settings.destinations[0], watched.node.settings.node.ae_title, [document], reporting.rendition)

        all_of_it()
        return median(milliseconds(all_of_it) for _ in range(scope.times(5)))


def _document(watched: Watched) -> DocumentFile:
    """One of the reports that the node has sent."""
    content = watched.orthanc.fetch(watched.orthanc.instances()[0])
    header = dcmread(DicomBytesIO(content))
    return DocumentFile(header.SOPClassUID, header.SOPInstanceUID, content)
