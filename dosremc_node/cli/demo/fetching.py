"""What the PACS has at the end of the demonstration: asked, fetched back, and read as any viewer would read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from dosremc_node.records import Point
from dosremc_node.simulation.pacs import Pacs

REGION_TITLE = "126000"
"""Imaging Measurement Report (PS3.16): what a region report is titled. Everything else of ours is a page of text."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An instance as the PACS gave it back, kept in ``path``; ``header`` is without its pixels."""

    path: Path
    header: Dataset

    @property
    def is_report(self) -> bool:
        return str(self.header.Modality) == "SR"

    @property
    def is_region(self) -> bool:
        return self.is_report and str(self.header.ConceptNameCodeSequence[0].CodeValue) == REGION_TITLE


def fetch_everything(pacs: Pacs, folder: Path, names: dict[str, str]) -> dict[str, list[Fetched]]:
    """Fetch every instance into ``folder/<name of its study>``; ``names`` leads from Study Instance UID to that name."""
    fetched: dict[str, list[Fetched]] = {uid: [] for uid in names}
    counts: dict[tuple[str, str], int] = {}
    for content, header in sorted(_instances(pacs), key=_order):
        study = str(header.StudyInstanceUID)
        kind = "report" if str(header.Modality) == "SR" else "image"
        number = counts[study, kind] = counts.get((study, kind), 0) + 1
        path = folder / names[study] / f"{kind}-{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        fetched[study].append(Fetched(path, header))
    return fetched


def _instances(pacs: Pacs) -> Iterator[tuple[bytes, Dataset]]:
    for instance in pacs.instances():
        content = pacs.fetch(instance)
        yield content, dcmread(BytesIO(content), stop_before_pixels=True)


def _order(instance: tuple[bytes, Dataset]) -> tuple[int, int, str]:
    header = instance[1]
    return (int(header.get("SeriesNumber") or 0), int(header.get("InstanceNumber") or 0), str(header.SOPInstanceUID))


# --- What the reports say -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One content item of a report, as a text viewer prints it."""

    depth: int
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Reports:
    """What the reports of one study say.

    ``about_images`` leads from SOP Instance UID to a score, or to why there is none; ``regions`` are outlines in image
    coordinates, each with the SOP Instance UID of its image.
    """

    headline: str
    lines: tuple[Line, ...]
    about_images: dict[str, str]
    regions: tuple[tuple[str, tuple[Point, ...]], ...]


def read_reports(fetched: Sequence[Fetched]) -> Reports:
    """Read a study's reports; where the PACS has no summary, all of it is empty."""
    summary = next((each.header for each in fetched if each.is_report and not each.is_region), Dataset())
    regions = [region for each in fetched if each.is_region for region in outlines(each.header)]
    return Reports(str(summary.get("SeriesDescription", "no report")), tuple(lines(summary)), about_images(summary), tuple(regions))


def lines(report: Dataset, depth: int = 0) -> list[Line]:
    """The report as text: every content item with a value, and the headings of its sections."""
    found = []
    for item in report.get("ContentSequence", []):
        if item.ValueType in ("TEXT", "NUM", "CODE", "CONTAINER"):
            found.append(Line(depth, _name(item), _value(item)))
        found += lines(item, depth + 1) if item.ValueType == "CONTAINER" else []
    return found


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning) if "ConceptNameCodeSequence" in item else ""


def _value(item: Dataset) -> str:
    if item.ValueType == "TEXT":
        return str(item.TextValue)
    if item.ValueType == "CODE":
        return str(item.ConceptCodeSequence[0].CodeMeaning)
    if item.ValueType == "NUM":
        measured = item.MeasuredValueSequence[0]
        return f"{measured.NumericValue} {measured.MeasurementUnitsCodeSequence[0].CodeValue}"
    return ""


def about_images(report: Dataset) -> dict[str, str]:
    """What the report says of single images, by SOP Instance UID: a score, or why there is none."""
    said = {}
    for item in _all_items(report):
        if item.ValueType in ("NUM", "TEXT"):
            said.update(dict.fromkeys(_images_below(item), _value(item)))
    return said


def outlines(region_report: Dataset) -> list[tuple[str, tuple[Point, ...]]]:
    """The regions drawn: SOP Instance UID, and the closed outline in image coordinates (column, row)."""
    found = []
    for item in _all_items(region_report):
        if item.ValueType == "SCOORD":
            numbers = [float(number) for number in item.GraphicData]
            points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
            found += [(image, points) for image in _images_below(item)]
    return found


def _all_items(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from _all_items(child)


def _images_below(item: Dataset) -> Sequence[str]:
    images = [child for child in item.get("ContentSequence", []) if child.ValueType == "IMAGE"]
    return [str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for image in images]
