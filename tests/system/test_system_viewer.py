"""What a radiologist sees: OHIF in a headless Chromium, in front of the Orthanc that the node reports to.

What it showed is kept in ``build/viewer``. Images are of vendor A: OHIF 3.13.2 shows none whose VOI LUT Function is SIGMOID.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from harness.node import RunningNode, send_to, wait_until
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from dosremc_node.records import Assessment, DocumentKind, Laterality, NotAssessedReason
from dosremc_node.simulation import VENDORS, Order, send, simulate_exam
from dosremc_node.simulation.pacs import Orthanc, orthanc_program

ohif_harness = pytest.importorskip("harness.ohif", reason="Playwright is not installed")

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]

SHOTS = Path(__file__).resolve().parents[2] / "build" / "viewer"
DOCUMENTS = (DocumentKind.SUMMARY, DocumentKind.REGION, DocumentKind.CAPTURE)
MALIGNANT, BENIGN, UNKNOWN = (3, 4, 5, 6), (21, 22, 23, 24), 31
TO_A_PIXEL_OR_TWO = 2.5


@dataclass(frozen=True)
class Workstation:
    """The viewer, and of the studies that it has: what the node says of each, and its regions as they are stored."""

    viewer: ohif_harness.Ohif
    studies: dict[str, str]
    assessments: dict[str, Assessment]
    regions: list[Dataset]
    images: dict[str, Dataset]

    def shot(self, name: str) -> NDArray[np.uint8]:
        """The page as it is shown now (BGR), kept in ``build/viewer``."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.viewer.page.screenshot(path=SHOTS / f"{name}.png")
        return np.asarray(cv2.imread(str(SHOTS / f"{name}.png")), np.uint8)


@pytest.fixture(scope="module")
def workstation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    """A positive, a negative and a not assessable study on Orthanc, with what the node says of them; and OHIF."""
    if orthanc_program() is None:
        pytest.skip("Orthanc is not installed (Debian package orthanc)")
    if not ohif_harness.OHIF.is_dir() or ohif_harness.CHROMIUM is None:
        pytest.skip("OHIF or Chromium is not installed (deploy/bootstrap.sh test)")
    folder = tmp_path_factory.mktemp("workstation")
    with Orthanc(folder / "orthanc") as pacs:
        node = RunningNode(folder / "node", [pacs], documents=DOCUMENTS)
        try:
            node.start()
            chosen = _studies(pacs, node)
        finally:
            node.stop()
        stored = [dcmread(BytesIO(pacs.fetch(instance))) for instance in pacs.instances()]
        with ohif_harness.ohif(pacs.http_port) as viewer:
            yield Workstation(viewer, *chosen, *_of_the_positive(stored, chosen[0]["positive"]))


def _studies(pacs: Orthanc, node: RunningNode) -> tuple[dict[str, str], dict[str, Assessment]]:
    """The first women whose study is what is wanted; what the demonstration release says of one is no matter of this test."""
    wanted: dict[str, tuple[Callable[[Assessment], bool], list[Order]]] = {
        "positive": (
            lambda a: a.positive and sum(bool(each.positive and each.findings) for each in a.images) > 1,
            [Order(seed, VENDORS["A"], Laterality.LEFT) for seed in MALIGNANT],
        ),
        "negative": (lambda a: a.shown and not any(each.positive for each in a.images), [Order(seed, VENDORS["A"]) for seed in BENIGN]),
        "not-assessable": (lambda a: a.not_assessed is NotAssessedReason.UNKNOWN_SCANNER, [Order(UNKNOWN, VENDORS["A"])]),
    }
    studies, assessments = {}, {}
    for kind, (is_wanted, orders) in wanted.items():
        for order in orders:
            study, assessment = _assessed(pacs, node, order, known=kind != "not-assessable")
            if is_wanted(assessment):
                studies[kind], assessments[kind] = study, assessment
                break
    assert set(studies) == set(wanted)
    return studies, assessments


def _assessed(pacs: Orthanc, node: RunningNode, order: Order, *, known: bool) -> tuple[str, Assessment]:
    exam = simulate_exam(order)
    contents = [image.content if known else _of_an_unknown_maker(image.content) for image in exam.images]
    send(contents, pacs.host, pacs.port, called=pacs.ae_title)
    send_to(node, contents)
    wait_until(lambda: all(each["state"] == "done" for each in node.studies()), "the study is done")
    return exam.study_instance_uid, node.assessment(node.study_of(exam.study_instance_uid))


def _of_an_unknown_maker(content: bytes) -> bytes:
    dataset, buffer = dcmread(BytesIO(content)), BytesIO()
    dataset.Manufacturer = "Maker that no domain has"
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _of_the_positive(stored: list[Dataset], study: str) -> tuple[list[Dataset], dict[str, Dataset]]:
    of_study = [each for each in stored if each.StudyInstanceUID == study]
    regions = [each for each in of_study if each.Modality == "SR" and each.ConceptNameCodeSequence[0].CodeValue == "126000"]
    return regions, {str(each.SOPInstanceUID): each for each in of_study if each.Modality == "MG"}


# --- The page of text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("study", "said"),
    [
        ("positive", ("AI result: Positive", "AI RESULT: POSITIVE", "Marked regions: see the series")),
        ("negative", ("AI result: Negative", "AI RESULT: NEGATIVE")),
        ("not-assessable", ("AI result: Not assessed", str(NotAssessedReason.UNKNOWN_SCANNER), "do not read this as negative")),
    ],
)
def test_the_summary_is_a_page_that_can_be_read(workstation: Workstation, study: str, said: tuple[str, ...]) -> None:
    """Result, impression, every score, research use and what made it, each name in front of its value."""
    viewer, assessment = workstation.viewer, workstation.assessments[study]
    viewer.open_study(workstation.studies[study])
    viewer.open_series("AI POSITIVE" if study == "positive" else "AI NEGATIVE" if study == "negative" else "AI NOT ASSESSED")
    workstation.shot(f"summary-{study}")
    text = " ".join(viewer.viewport.inner_text().split())
    for each in (*said, "Research use only: not for diagnosis", "no clinical meaning", "How this was made", "Filters: sha256"):
        assert each in text
    for score in (*assessment.images, *assessment.breasts):
        # DICOMweb's JSON has numbers, in which 67.0 is 67.
        assert (f"Probability of cancer: {round(100 * score.probability, 1):g} %" in text) == assessment.shown


# --- The outlines -----------------------------------------------------------------------------------------------------


def test_each_positive_image_shows_its_outlines_where_they_are(workstation: Workstation) -> None:
    """One region series for each; each outline lies where the image has it, is drawn, and has its probability beside it."""
    viewer = workstation.viewer
    viewer.open_study(workstation.studies["positive"])
    assert len(workstation.regions) == sum(bool(each.positive and each.findings) for each in workstation.assessments["positive"].images)
    for region in workstation.regions:
        viewer.open_series(region.SeriesDescription)
        # Older versions draw a mark only once the mouse has moved over the image.
        viewer.viewport.hover()
        page = workstation.shot(f"region-{region.SeriesDescription.replace(' ', '-').replace('-%', '')}")
        drawn = [np.array(line) for line in viewer.polylines()]
        text = viewer.viewport.inner_text()
        expected = marks(region)
        assert len(drawn) == len(expected)
        for outline, probability, image in expected:
            assert f"Probability of cancer: {probability:.2f} %" in text
            on_page = viewer.on_page(outline, workstation.images[image].Rows, workstation.images[image].Columns)
            assert min(distance(on_page, each) for each in drawn) < TO_A_PIXEL_OR_TWO
            assert coloured(page, on_page) > 0.4
            assert inside(page, on_page).mean() > 20


def marks(region: Dataset) -> list[tuple[NDArray[np.float64], float, str]]:
    """Each outline (column, row), its probability in per cent, and its image, as they are stored."""
    found = []
    (measurements,) = [item for item in region.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010"]
    for group in measurements.ContentSequence:
        (geometry,) = [item for item in group.ContentSequence if item.ValueType == "SCOORD"]
        (number,) = [item for item in group.ContentSequence if item.ValueType == "NUM"]
        outline = np.reshape(geometry.GraphicData, (-1, 2))
        image = geometry.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        found.append((outline, float(number.MeasuredValueSequence[0].NumericValue), str(image)))
    return found


def distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The farthest that corners of the same number lie from each other; far where there are not as many."""
    return float(np.hypot(*(one - other).T).max()) if one.shape == other.shape else np.inf


def coloured(page: NDArray[np.uint8], outline: NDArray[np.float64]) -> float:
    """The share of the outline, which is dashed, that has colour within two pixels: the image itself is grey."""
    colour = (page.max(axis=2).astype(int) - page.min(axis=2) > 100).astype(np.uint8)
    near = cv2.dilate(colour, np.ones((5, 5), np.uint8))
    line = cv2.polylines(np.zeros_like(near), [outline.round().astype(np.int32)], isClosed=True, color=1)
    return float(near[line == 1].mean())


def inside(page: NDArray[np.uint8], outline: NDArray[np.float64]) -> NDArray[np.uint8]:
    """What the page shows inside an outline."""
    area = cv2.fillPoly(np.zeros(page.shape[:2], np.uint8), [outline.round().astype(np.int32)], 1)
    return page[area == 1]


# --- Everything else --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("study", ["positive", "negative", "not-assessable"])
def test_nothing_that_is_sent_by_default_opens_blank(workstation: Workstation, study: str) -> None:
    """Whatever the reader opens is a page or an image with something on it, and OHIF complains of nothing."""
    viewer = workstation.viewer
    viewer.open_study(workstation.studies[study])
    ours = [each for each in viewer.series() if each.startswith(("SR AI", "OT AI"))]
    assert ours
    for number, each in enumerate(ours):
        viewer.open_series(each[each.index("AI") : each.index(" S:")])
        page = workstation.shot(f"opened-{study}-{number}")
        assert "went wrong" not in viewer.page.inner_text("body")
        x, y, width, height = viewer.place()
        assert (page[int(y + 60) : int(y + height), int(x) : int(x + width)].max(axis=2) > 100).mean() > 0.005


def test_the_capture_is_shown(workstation: Workstation) -> None:
    """Its thumbnail stands in the list, and opened it shows the view with a cyan outline and the colours of the heat map."""
    viewer = workstation.viewer
    viewer.open_study(workstation.studies["positive"])
    (first, *_) = [each for each in workstation.assessments["positive"].images if each.positive and each.findings]
    viewer.open_series(f"AI view {first.laterality} {first.view}")
    page = workstation.shot("capture").astype(int)
    x, y, width, height = map(int, viewer.place())
    shown = page[y : y + height, x : x + width]
    cyan = (np.abs(shown - [255, 255, 0]).max(axis=2) < 60).sum()
    warm = ((shown[..., 2] > 180) & (shown[..., 0] < 80)).sum()
    assert min(cyan, warm) > 200
