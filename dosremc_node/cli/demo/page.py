"""The page of the demonstration: every view with its heat map, region and score, and the report beside, as the PACS gave them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2
from pydicom import dcmread

from dosremc_node import imaging, inference
from dosremc_node.artifacts import ArtifactKind, derived_key
from dosremc_node.cli.demo.fetching import Fetched, Line, Reports, read_reports
from dosremc_node.cli.demo.outcomes import Outcome
from dosremc_node.cli.demo.pictures import Matrix, hanging, heat_map, moved, picture, png
from dosremc_node.node import Node
from dosremc_node.records import ImageScore, NetworkInput, Point

HANGING = ("R CC", "L CC", "R MLO", "L MLO")


@dataclass(frozen=True, slots=True)
class ShownView:
    """A view as the page shows it. Outlines and circles are in the shown picture's pixels."""

    name: str
    picture: str
    heat_map: str
    width: int
    height: int
    outlines: tuple[str, ...]
    lesion: tuple[float, float, float] | None
    said: str
    is_score: bool
    positive: bool


@dataclass(frozen=True, slots=True)
class ShownStudy:
    title: str
    truth: str
    headline: str
    result: str
    views: tuple[ShownView, ...]
    report: tuple[Line, ...]
    documents: int
    milliseconds: float | None


def write_page(build: Path, outcomes: Sequence[Outcome], fetched: Mapping[str, Sequence[Fetched]], node: Node, pacs: str) -> None:
    """Write ``index.html`` and its pictures into ``build``."""
    (build / "images").mkdir(parents=True, exist_ok=True)
    studies = [_study(outcome, fetched[outcome.study.study_instance_uid], node, build) for outcome in outcomes]
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    )
    release = node.release_in_force().release
    (build / "index.html").write_text(template.render(studies=studies, pacs=pacs, release=release, made=datetime.now()), encoding="utf-8")


def _study(outcome: Outcome, fetched: Sequence[Fetched], node: Node, build: Path) -> ShownStudy:
    reports = read_reports(fetched)
    views = [_view(outcome, each, reports, node, build) for each in fetched if not each.is_report]
    return ShownStudy(
        title=outcome.study.title,
        truth=outcome.study.truth,
        headline=reports.headline,
        result=_result(outcome),
        views=tuple(sorted(views, key=lambda view: (HANGING.index(view.name) if view.name in HANGING else len(HANGING), view.picture))),
        report=reports.lines,
        documents=len(outcome.on_pacs),
        milliseconds=outcome.milliseconds,
    )


def _result(outcome: Outcome) -> str:
    if outcome.shown is None:
        return "not-assessed"
    return "positive" if outcome.shown.positive else "negative"


def _view(outcome: Outcome, fetched: Fetched, reports: Reports, node: Node, build: Path) -> ShownView:
    dataset = dcmread(fetched.path)
    uid = str(dataset.SOPInstanceUID)
    to_shown, size = hanging(dataset)
    name, score = f"images/{outcome.study.folder}-{fetched.path.stem}", _score(outcome, uid)
    (build / f"{name}.png").write_bytes(png(picture(dataset, to_shown, size)))
    if score is not None:
        saliency = inference.decode_saliency(node.store.read(score.saliency_key))
        (build / f"{name}-heat.png").write_bytes(png(heat_map(saliency, _network_input(outcome, uid, node), to_shown, size)))
    return ShownView(
        name=_view_name(outcome, uid),
        picture=f"{name}.png",
        heat_map=f"{name}-heat.png" if score else "",
        width=size[0],
        height=size[1],
        outlines=tuple(_svg_points(moved(points, to_shown)) for image, points in reports.regions if image == uid),
        lesion=_lesion(outcome, uid, to_shown),
        said=reports.about_images.get(uid, ""),
        is_score=score is not None,
        positive=score is not None and score.positive,
    )


def _network_input(outcome: Outcome, uid: str, node: Node) -> NetworkInput:
    """What the network saw of an image: it knows where on the image it lies."""
    sha256 = next(image.sha256 for image in outcome.images if image.header.sop_instance_uid == uid)
    release = node.shelf.load(outcome.release_id).release
    return imaging.decode_input(node.store.read(derived_key(ArtifactKind.INPUT, f"{sha256}-{release.preprocessing_sha256}")))


def _score(outcome: Outcome, uid: str) -> ImageScore | None:
    scores = outcome.shown.images if outcome.shown else ()
    return next((score for score in scores if score.sop_instance_uid == uid), None)


def _view_name(outcome: Outcome, uid: str) -> str:
    return next((image.name for image in outcome.images if image.header.sop_instance_uid == uid), "view")


def _lesion(outcome: Outcome, uid: str, to_shown: Matrix) -> tuple[float, float, float] | None:
    truth = outcome.study.lesions.get(uid)
    if truth is None:
        return None
    [(x, y)] = moved([truth.centre], to_shown)
    return x, y, truth.radius * abs(float(to_shown[0, 0]))


def _svg_points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
