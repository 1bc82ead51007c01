"""The release's rule, said again in the tests: view, breast, exam, and what is said where there is no score."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosremc_node.inference import ScoredImage, assess
from dosremc_node.records import (
    Assessment,
    BankId,
    Domain,
    ImageHeader,
    InputGeometry,
    Laterality,
    NetworkInput,
    NetworkOutput,
    NotAssessedReason,
    OperatingPoint,
    PatientAndStudy,
    Plan,
    ScannerKey,
    StudyId,
    StudyImage,
    StudyRevision,
    View,
    from_json,
    to_json,
)

WHO = PatientAndStudy(study_instance_uid="1.2.840.99999.1", patient_id="CANARY")
SCANNER = ScannerKey("HOLOGIC, Inc.", "Selenia Dimensions", "1.9")
SIDES = {"L": Laterality.LEFT, "R": Laterality.RIGHT}
FOUR_VIEWS = ("L CC", "L MLO", "R CC", "R MLO")


def image(number: int, name: str, reason: NotAssessedReason | None = None) -> StudyImage:
    side, view = name.split()
    header = ImageHeader(
        who=WHO, sop_instance_uid=f"1.2.840.99999.2.{number}", sop_class_uid="", series_instance_uid="", modality="MG", scanner=SCANNER,
        laterality=SIDES.get(side), view=None if view == "?" else View(view),
    )  # fmt: skip
    return StudyImage(instance_id=number, sha256=f"{number:064x}", header=header, not_assessed=reason)


def revision(
    images: tuple[StudyImage, ...], point: OperatingPoint | None = None, reason: NotAssessedReason | None = None, banked: bool = True
) -> StudyRevision:
    domain = Domain("hologic")
    bank = BankId(domain, "a" * 64) if banked else None
    point = (point or OperatingPoint(threshold=0.5)) if banked else None
    plan = Plan(images, SCANNER, domain, "small", bank, point, reason)
    return StudyRevision(StudyId("S-ABCDEFGHIJKL"), 1, None, WHO, plan, datetime(2026, 1, 1, tzinfo=UTC))


def scored(probability: float) -> ScoredImage:
    """A result whose probability, uncalibrated, is this one."""
    seen = NetworkInput(np.zeros((8, 8), np.float32), np.ones((8, 8), np.bool_), InputGeometry(1, 0, 0, 0, 1, 0), 8, 8)
    saliency = np.zeros((8, 8), np.float32)
    saliency[2:4, 2:4] = 0.9
    return ScoredImage(seen, NetworkOutput(math.log(probability / (1 - probability)), saliency), "saliency/x")


def assessed(names: tuple[str, ...], probabilities: tuple[float, ...], point: OperatingPoint | None = None) -> Assessment:
    images = tuple(image(number, name) for number, name in enumerate(names))
    outputs = {each.header.sop_instance_uid: scored(p) for each, p in zip(images, probabilities, strict=True)}
    return assess(revision(images, point), outputs)


def test_four_views() -> None:
    """A breast is the mean of its views, the exam the larger breast; each is positive at or above the threshold."""
    result = assessed(FOUR_VIEWS, (0.2, 0.3, 0.9, 0.4))
    left, right = result.breasts

    assert (left.laterality, right.laterality) == (Laterality.LEFT, Laterality.RIGHT)
    assert (left.probability, right.probability) == pytest.approx((0.25, 0.65))
    assert (left.positive, right.positive, result.positive) == (False, True, True)
    assert result.exam_probability == right.probability
    assert [score.positive for score in result.images] == [False, False, True, False]
    assert [len(score.findings) for score in result.images] == [0, 0, 1, 0]
    assert result.images[2].findings[0].probability == result.images[2].probability
    assert {score.saliency_key for score in result.images} == {"saliency/x"}
    assert result.shown
    assert result.images_not_assessed == ()


def test_a_repeated_view_counts_once() -> None:
    """Two CC views do not outvote the MLO view."""
    (breast,) = assessed(("L CC", "L CC", "L MLO"), (0.2, 0.4, 0.9)).breasts
    assert breast.probability == pytest.approx((0.3 + 0.9) / 2)


def test_calibration_and_threshold_are_the_operating_points() -> None:
    """The logit is scaled and shifted before it is compared, and equal to the threshold is positive."""
    point = OperatingPoint(threshold=1 / (1 + math.exp(-0.25)), slope=0.5, intercept=0.25)
    result = assessed(("L CC",), (0.5,), point)
    assert result.images[0].logit == 0.0
    assert result.images[0].probability == point.threshold
    assert result.positive


@given(st.lists(st.tuples(st.sampled_from(FOUR_VIEWS), st.floats(0.001, 0.999)), min_size=1, max_size=8), st.floats(0.01, 0.99))
def test_a_positive_exam_has_a_region(views: list[tuple[str, float]], threshold: float) -> None:
    """Whatever the views and scores: exam positive means breast positive, means an image of that breast positive with a region."""
    names, probabilities = zip(*views, strict=True)
    result = assessed(names, probabilities, OperatingPoint(threshold=threshold))

    assert result.positive == any(breast.positive for breast in result.breasts)
    assert result.exam_probability == max(breast.probability for breast in result.breasts)
    assert result.positive == (result.exam_probability >= threshold)
    for breast in result.breasts:
        own = [score for score in result.images if score.laterality is breast.laterality]
        assert not breast.positive or any(score.positive for score in own)
    assert all(bool(score.findings) == score.positive for score in result.images)
    assert from_json(Assessment, to_json(result)) == result


def test_order_changes_no_bit() -> None:
    """The order in which images came changes neither breast nor exam by a bit."""
    views = tuple(zip(("L CC",) * 5, (0.1, 0.7, 0.37, 0.93, 0.013), strict=True))
    results = {
        assessed(tuple(name for name, _ in order), tuple(p for _, p in order)).exam_probability for order in itertools.permutations(views)
    }
    assert len(results) == 1


@given(st.floats(-1e6, 1e6), st.floats(0.01, 100), st.floats(-100, 100))
def test_probabilities_stay_within_bounds(logit: float, slope: float, intercept: float) -> None:
    """Any logit gives a probability in 0..1, rising with the logit, without overflow."""
    point = OperatingPoint(0.5, slope, intercept)
    assert 0 <= point.probability(logit) <= point.probability(logit + 1) <= 1


def test_shadow_scores_are_kept_and_not_shown() -> None:
    """With the policy shadow the scores are there, and the assessment is not to be shown (promise 8)."""
    only = image(1, "L CC")
    result = assess(revision((only,), reason=NotAssessedReason.UNKNOWN_SCANNER), {only.header.sop_instance_uid: scored(0.9)})
    assert result.not_assessed is NotAssessedReason.UNKNOWN_SCANNER
    assert len(result.images) == 1
    assert not result.shown


def test_refused_study_names_every_image() -> None:
    """Without a bank nothing is scored, and every image is listed, eligible ones with the study's reason."""
    images = (image(1, "L CC"), image(2, "L ?", NotAssessedReason.UNKNOWN_VIEW))
    result = assess(revision(images, reason=NotAssessedReason.UNKNOWN_SCANNER, banked=False), {})
    assert result.exam_probability is None
    assert result.not_assessed is NotAssessedReason.UNKNOWN_SCANNER
    assert [each.reason for each in result.images_not_assessed] == [NotAssessedReason.UNKNOWN_SCANNER, NotAssessedReason.UNKNOWN_VIEW]


def test_failed_images_are_named_beside_scores() -> None:
    """An image that could not be decoded is listed with its reason; the others are scored all the same."""
    good, bad, spot = image(1, "L CC"), image(2, "L MLO"), image(3, "R CC", NotAssessedReason.SPOT)
    outputs = {bad.header.sop_instance_uid: NotAssessedReason.UNREADABLE}
    result = assess(revision((good, bad, spot)), {good.header.sop_instance_uid: scored(0.3), **outputs})
    assert result.shown
    assert [score.sop_instance_uid for score in result.images] == [good.header.sop_instance_uid]
    assert [(each.name, each.reason) for each in result.images_not_assessed] == [
        ("L MLO", NotAssessedReason.UNREADABLE),
        ("R CC", NotAssessedReason.SPOT),
    ]


@pytest.mark.parametrize(
    ("planned", "failed", "expected"),
    [
        (None, NotAssessedReason.UNREADABLE, NotAssessedReason.UNREADABLE),
        (None, NotAssessedReason.NO_BREAST, NotAssessedReason.NO_IMAGES),
        (NotAssessedReason.SPOT, None, NotAssessedReason.NO_IMAGES),
    ],
)
def test_nothing_scored_says_why(planned: NotAssessedReason | None, failed: NotAssessedReason | None, expected: NotAssessedReason) -> None:
    """A study without a single score is not assessed, and says whether it could not be read or had nothing to read."""
    only = image(1, "L CC", planned)
    result = assess(revision((only,)), {only.header.sop_instance_uid: failed} if failed else {})
    assert result.not_assessed is expected
    assert result.exam_probability is None
    assert not result.positive


def test_an_empty_study_has_no_images() -> None:
    """A plan without images gives an assessment without scores."""
    assert assess(revision(()), {}).not_assessed is NotAssessedReason.NO_IMAGES


def test_a_forgotten_image_is_no_negative() -> None:
    """An eligible image without an output is an error that names no identifier."""
    with pytest.raises(ValueError, match="L CC of S-ABCDEFGHIJKL:1") as caught:
        assess(revision((image(1, "L CC"),)), {})
    assert "1.2.840" not in str(caught.value)


@given(
    st.floats(-20, 20),
    st.lists(st.tuples(st.floats(-9, 9), st.floats(0.01, 3)), min_size=1, max_size=8, unique_by=lambda knot: round(knot[0], 2)),
)
def test_an_alignment_passes_through_its_points_and_keeps_every_order(logit: float, steps: list[tuple[float, float]]) -> None:
    """Points map exactly, what lies between them between their values, and a higher logit never becomes a lower one."""
    found = sorted(round(step[0], 2) for step in steps)
    meant = [float(value) for value in np.cumsum([step[1] for step in steps])]
    point = OperatingPoint(0.5, alignment=tuple(zip(found, meant, strict=True)))
    assert [point.aligned(value) for value in found] == pytest.approx(meant)
    assert point.aligned(logit) <= point.aligned(logit + 0.5) + 1e-9
    inside = (min(max(logit, found[0]), found[-1]),)
    assert meant[0] - 1e-9 <= point.aligned(inside[0]) <= meant[-1] + 1e-9
