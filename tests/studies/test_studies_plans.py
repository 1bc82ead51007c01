"""When a study is complete, and what is pinned for it before it is assessed (promises 8 and 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dosremc_node.records import Domain, ImageHeader, NotAssessedReason, Plan, Release, ScannerKey, UnknownScannerPolicy
from dosremc_node.settings import StudySettings
from dosremc_node.studies import due_at, load_domains, make_plan, views_complete

FOUR = ("L CC", "R CC", "L MLO", "R MLO")
GE = ScannerKey("GE MEDICAL SYSTEMS", "Senographe Pristina", "1")
SIEMENS = ScannerKey("SIEMENS", "Mammomat Inspiration", "VB30")
NOBODY = ScannerKey("", "", "")
RAW = {"not_assessed": NotAssessedReason.FOR_PROCESSING}


def plan(headers: Sequence[ImageHeader], release: Release, **settings: Any) -> Plan:
    images = [(number, f"{number:064x}", header) for number, header in enumerate(headers)]
    return make_plan(images, release, load_domains(), StudySettings(**settings))


def test_four_views_are_complete(make_header: Any) -> None:
    """The four screening views complete a study, three do not, nor do four of which one is not eligible."""
    headers = [make_header(name) for name in FOUR]
    assert views_complete(headers)
    for missing in range(4):
        assert not views_complete(headers[:missing] + headers[missing + 1 :])
        spoilt = [*headers]
        spoilt[missing] = replace(headers[missing], not_assessed=NotAssessedReason.SPOT)
        assert not views_complete(spoilt)


@pytest.mark.parametrize("reason", [NotAssessedReason.MAGNIFICATION, NotAssessedReason.TOMOSYNTHESIS, None])
def test_a_further_view_says_that_more_may_come(reason: NotAssessedReason | None, make_header: Any) -> None:
    """A study with a further view, assessed or not, waits for its quiet period."""
    assert not views_complete([*(make_header(name) for name in FOUR), make_header("L CC", not_assessed=reason)])


def test_raw_images_of_the_same_exposures_are_no_further_views(make_header: Any) -> None:
    """For Processing images beside their For Presentation images do not hold a study up once all four are there."""
    shown = [make_header(name, acquired=name) for name in FOUR]
    raw = [make_header(name, acquired=name, **RAW) for name in FOUR]
    assert views_complete([*shown, *raw])
    assert not views_complete([*shown, *raw[:2]])
    assert not views_complete([*shown, *raw[:3], make_header("R MLO", acquired="another exposure", **RAW)])


@pytest.mark.parametrize("names", [FOUR, FOUR[:3]])
@pytest.mark.parametrize("quiet", [0, 60, 5000])
@pytest.mark.parametrize("waited", [0, 900, 1799, 3000])
def test_when_a_study_is_due(names: Sequence[str], quiet: int, waited: int, make_header: Any) -> None:
    """A complete study is due at once, another after the quiet period, and never later than the deadline."""
    first = datetime(2025, 1, 1, tzinfo=UTC)
    settings = StudySettings(quiet_seconds=quiet, deadline_seconds=1800)
    expected = waited if names == FOUR else min(waited + quiet, 1800)
    due = due_at([make_header(name) for name in names], first, first + timedelta(seconds=waited), settings)
    assert due == first + timedelta(seconds=expected)


def test_the_plan_of_an_ordinary_study(make_header: Any, release: Release) -> None:
    """Domain, bank and operating point are pinned, and all four views are to be assessed."""
    made = plan([make_header(name, GE) for name in FOUR], release)
    assert (made.domain, made.release_id, made.not_assessed, made.nearest) == ("ge", "R-1", None, False)
    assert made.bank == release.banks[Domain("ge")]
    assert made.scanner == GE
    assert made.operating_point == release.operating_points["ge"]
    assert [image.not_assessed for image in made.images] == [None] * 4


def test_a_domain_that_is_withheld_is_scored_and_not_shown(make_header: Any, release: Release) -> None:
    """Its studies keep their bank and operating point and say why nothing is shown; other domains' are shown."""
    images = [(number, f"{number:064x}", make_header(name, GE)) for number, name in enumerate(FOUR)]
    shown, hidden = (make_plan(images, release, load_domains(), StudySettings(), withheld=[Domain(domain)]) for domain in ("siemens", "ge"))
    assert shown.not_assessed is None
    assert hidden == replace(shown, not_assessed=NotAssessedReason.WITHHELD)
    assert [image.not_assessed for image in hidden.images] == [None] * 4


def test_a_scanner_with_an_operating_point_of_its_own(make_header: Any, release: Release) -> None:
    """The operating point of the very scanner comes before that of its domain."""
    made = plan([make_header()], release)
    assert made.operating_point is not None
    assert made.operating_point.target == "this very unit"


@pytest.mark.parametrize("linked", ["by source image", "by time"])
def test_two_images_of_one_exposure_count_once(linked: str, make_header: Any, release: Release) -> None:
    """The For Processing image of an exposure whose For Presentation image is there is named as such."""
    raw = make_header("L CC", GE, acquired="1" if linked == "by time" else "", **RAW)
    shown = make_header(
        "L CC", GE, acquired="1" if linked == "by time" else "", source_image_uids=(raw.sop_instance_uid,) if linked != "by time" else ()
    )
    other = make_header("R CC", GE, acquired="1" if linked == "by time" else "", **RAW)
    made = plan([raw, shown, other], release)
    assert [image.not_assessed for image in made.images] == [NotAssessedReason.SAME_EXPOSURE, None, NotAssessedReason.FOR_PROCESSING]


def test_a_repeated_view_is_assessed_too(make_header: Any, release: Release) -> None:
    """Two left CC images are both assessed."""
    made = plan([make_header("L CC", GE), make_header("L CC", GE)], release)
    assert [image.not_assessed for image in made.images] == [None, None]


def test_nothing_to_assess(make_header: Any, release: Release) -> None:
    """Without an eligible image there is no bank, and the reason is given."""
    made = plan([make_header("L CC", GE, not_assessed=NotAssessedReason.SPOT)], release)
    assert (made.bank, made.operating_point, made.not_assessed) == (None, None, NotAssessedReason.NO_IMAGES)
    assert made.scanner == GE
    assert plan([], release).not_assessed is NotAssessedReason.NO_IMAGES


@pytest.mark.parametrize("other", [SIEMENS, NOBODY])
def test_scanners_of_different_domains_are_not_mixed(other: ScannerKey, make_header: Any, release: Release) -> None:
    """A study from scanners of two domains, or of one and an unknown one, is not scored with either bank."""
    made = plan([make_header("L CC", GE), make_header("R CC", other)], release)
    assert (made.domain, made.bank, made.not_assessed) == (None, None, NotAssessedReason.MIXED_DOMAINS)


def test_an_image_that_is_not_assessed_does_not_mix_domains(make_header: Any, release: Release) -> None:
    """Only eligible images decide on the domain."""
    made = plan([make_header("L CC", GE), make_header("R CC", SIEMENS, not_assessed=NotAssessedReason.TOMOSYNTHESIS)], release)
    assert (made.domain, made.scanner) == ("ge", GE)


POLICIES = {
    ("refuse", ""): (None, NotAssessedReason.UNKNOWN_SCANNER),
    ("shadow", ""): ("ge", NotAssessedReason.UNKNOWN_SCANNER),
    ("shadow", "siemens"): ("siemens", NotAssessedReason.UNKNOWN_SCANNER),
    ("nearest", "siemens"): ("siemens", None),
    ("nearest", ""): ("ge", None),
    ("nearest", "no such domain"): (None, NotAssessedReason.UNKNOWN_SCANNER),
}


@pytest.mark.parametrize("scanner", [NOBODY, ScannerKey("FUJIFILM Corporation", "AMULET", "1")], ids=["no domain", "no bank"])
@pytest.mark.parametrize(("policy", "named"), POLICIES)
def test_an_unknown_scanner_is_never_scored_silently(
    policy: str, named: str, scanner: ScannerKey, make_header: Any, release: Release
) -> None:
    """Whatever the policy, the plan says that the bank is another's, or that nothing is shown (promise 8)."""
    domain, reason = POLICIES[policy, named]
    made = plan([make_header("L CC", scanner)], release, unknown_scanner=UnknownScannerPolicy(policy), nearest_domain=named)
    assert (made.domain, made.not_assessed, made.scanner) == (domain, reason, scanner)
    assert made.nearest is (domain is not None)
    assert made.bank == (release.banks[Domain(domain)] if domain else None)
    assert (made.operating_point is None) is (domain is None)


def test_the_default_policy_shows_no_score(make_header: Any, release: Release) -> None:
    """Out of the box an unknown scanner's study is scored for the record, and not shown."""
    made = plan([make_header("L CC", NOBODY)], release)
    assert made.bank is not None
    assert made.not_assessed is NotAssessedReason.UNKNOWN_SCANNER


def test_a_withdrawn_image_has_no_part_in_the_plan(make_header: Any, release: Release) -> None:
    """It stands beside the images, with its reason; the others are planned as if it had never come."""
    left = [make_header(name) for name in FOUR[1:]]
    rejected = make_header(FOUR[0], not_assessed=NotAssessedReason.WITHDRAWN_FOR_QUALITY)
    found = plan([rejected, *left], release)
    assert [image.header for image in found.images] == left
    assert [(image.header, image.not_assessed) for image in found.withdrawn] == [(rejected, NotAssessedReason.WITHDRAWN_FOR_QUALITY)]
    assert replace(found, withdrawn=(), images=()) == replace(plan(left, release), images=())


def test_a_study_whose_images_are_all_withdrawn_is_not_assessed(make_header: Any, release: Release) -> None:
    """Its plan has a bank for nothing, and says why; its report speaks of the withdrawn images."""
    found = plan([make_header(name, not_assessed=NotAssessedReason.WITHDRAWN_FOR_SAFETY) for name in FOUR], release)
    assert (found.bank, found.not_assessed, len(found.images), found.withdrawn) == (None, NotAssessedReason.ALL_WITHDRAWN, 4, ())
