"""What is to be done with a study: when it is complete, which images are assessed, with which bank, shown or not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dosremc_node.records import (
    WITHDRAWN,
    BankId,
    Domain,
    ImageHeader,
    Laterality,
    NotAssessedReason,
    OperatingPoint,
    Plan,
    Release,
    ScannerKey,
    StudyImage,
    UnknownScannerPolicy,
)
from dosremc_node.settings import StudySettings
from dosremc_node.studies.domains import DomainTable
from dosremc_node.studies.eligibility import SCREENING_VIEWS

_ALL_FOUR = frozenset((side, view) for side in Laterality for view in SCREENING_VIEWS)


def views_complete(headers: Sequence[ImageHeader]) -> bool:
    """Whether left and right, CC and MLO have all been seen among the eligible images, and nothing says that more is to come.

    A further view does, and so does a For Processing image of one exposure as long as those of the others are missing (promise 9).
    """
    eligible = [header for header in headers if header.not_assessed is None]
    raw = [header for header in headers if _is_same_exposure(header, eligible)]
    seen = [(header.laterality, header.view) for header in eligible]
    raw_seen = {(header.laterality, header.view) for header in raw}
    nothing_else = len(eligible) + len(raw) == len(headers) and len(eligible) == len(_ALL_FOUR)
    return set(seen) == _ALL_FOUR and nothing_else and (not raw or raw_seen == _ALL_FOUR)


def due_at(headers: Sequence[ImageHeader], first: datetime, last: datetime, settings: StudySettings) -> datetime:
    """When a study is to be assessed, whose first image (of this wave) arrived at ``first`` and whose last at ``last``."""
    if views_complete(headers):
        return last
    quiet = last + timedelta(seconds=settings.quiet_seconds)
    return min(quiet, first + timedelta(seconds=settings.deadline_seconds))


def make_plan(
    images: Sequence[tuple[int, str, ImageHeader]],
    release: Release,
    domains: DomainTable,
    settings: StudySettings,
    *,
    withheld: Collection[Domain] = (),
) -> Plan:
    """Decide on a study as it stands. ``images`` are (instance id, digest of the file, header).

    An image that a rejection note withdrew has that as its reason, and no part in anything but `Plan.withdrawn`. What belongs to a domain
    of ``withheld`` is scored and not shown.
    """
    judged = _judged(images)
    withdrawn = tuple(image for image in judged if image.not_assessed in WITHDRAWN)
    if withdrawn and len(withdrawn) == len(judged):
        # Its report must say of which images it speaks, and there are no others.
        return _nothing_scored(judged, _only(image.header.scanner for image in judged), release, NotAssessedReason.ALL_WITHDRAWN)
    left = tuple(image for image in judged if image.not_assessed not in WITHDRAWN)
    return replace(_unless_withheld(_only_if_whole(_plan(left, release, domains, settings)), withheld), withdrawn=withdrawn)


def _unless_withheld(plan: Plan, withheld: Collection[Domain]) -> Plan:
    hidden = plan.not_assessed is None and plan.domain in withheld
    return replace(plan, not_assessed=NotAssessedReason.WITHHELD) if hidden else plan


def _only_if_whole(plan: Plan) -> Plan:
    """What is left of a study whose images were removed is scored and kept, but not shown in place of the whole study's report."""
    removed = any(image.not_assessed is NotAssessedReason.REMOVED for image in plan.images)
    if removed and plan.not_assessed in (None, NotAssessedReason.NO_IMAGES):
        return replace(plan, not_assessed=NotAssessedReason.IMAGES_REMOVED)
    return plan


def _plan(judged: tuple[StudyImage, ...], release: Release, domains: DomainTable, settings: StudySettings) -> Plan:
    scanners = sorted({image.header.scanner for image in judged if image.not_assessed is None})
    if not scanners:
        return _nothing_scored(judged, _only(image.header.scanner for image in judged), release, NotAssessedReason.NO_IMAGES)
    found = {domains.domain_of(scanner) for scanner in scanners}
    if len(found) > 1:
        return _nothing_scored(judged, _only(scanners), release, NotAssessedReason.MIXED_DOMAINS)
    domain = found.pop()
    if domain is None or not _serves(release, domain):
        return _plan_of_unknown(judged, scanners[0], release, settings)
    return Plan(
        images=judged,
        scanner=scanners[0],
        domain=domain,
        release_id=release.release_id,
        bank=release.banks[domain],
        operating_point=_operating_point(release, scanners[0], domain),
        not_assessed=None,
    )


def _judged(images: Sequence[tuple[int, str, ImageHeader]]) -> tuple[StudyImage, ...]:
    eligible = [header for _, _, header in images if header.not_assessed is None]
    return tuple(StudyImage(instance_id, sha256, header, _reason(header, eligible)) for instance_id, sha256, header in images)


def _reason(header: ImageHeader, eligible: Iterable[ImageHeader]) -> NotAssessedReason | None:
    return NotAssessedReason.SAME_EXPOSURE if _is_same_exposure(header, eligible) else header.not_assessed


def _is_same_exposure(header: ImageHeader, eligible: Iterable[ImageHeader]) -> bool:
    """Whether this is the For Processing image of an exposure whose For Presentation image is there."""
    return header.not_assessed is NotAssessedReason.FOR_PROCESSING and any(_is_source(header, shown) for shown in eligible)


def _is_source(raw: ImageHeader, shown: ImageHeader) -> bool:
    if raw.sop_instance_uid in shown.source_image_uids:
        return True
    taken = (raw.acquired, raw.laterality, raw.view)
    return bool(raw.acquired) and taken == (shown.acquired, shown.laterality, shown.view)


def _serves(release: Release, domain: Domain) -> bool:
    return domain in release.banks and domain in release.operating_points


def _nothing_scored(images: tuple[StudyImage, ...], scanner: ScannerKey | None, release: Release, reason: NotAssessedReason) -> Plan:
    return Plan(images, scanner, None, release.release_id, bank=None, operating_point=None, not_assessed=reason)


def _plan_of_unknown(images: tuple[StudyImage, ...], scanner: ScannerKey, release: Release, settings: StudySettings) -> Plan:
    """No scanner that belongs to no domain is scored silently (promise 8)."""
    nearest = _nearest(release, settings)
    if nearest is None or settings.unknown_scanner is UnknownScannerPolicy.REFUSE:
        return _nothing_scored(images, scanner, release, NotAssessedReason.UNKNOWN_SCANNER)
    shown = settings.unknown_scanner is UnknownScannerPolicy.NEAREST
    return Plan(
        images=images,
        scanner=scanner,
        domain=nearest.domain,
        release_id=release.release_id,
        bank=nearest,
        operating_point=release.operating_points[nearest.domain],
        not_assessed=None if shown else NotAssessedReason.UNKNOWN_SCANNER,
        nearest=True,
    )


def _nearest(release: Release, settings: StudySettings) -> BankId | None:
    """The bank that stands in: of the domain that the site names, else the first by name; None where the release has none such."""
    served = sorted(domain for domain in release.banks if _serves(release, domain))
    named = [domain for domain in served if settings.nearest_domain in ("", domain)]
    return release.banks[named[0]] if named else None


def _operating_point(release: Release, scanner: ScannerKey, domain: Domain) -> OperatingPoint:
    return release.operating_points.get(str(scanner)) or release.operating_points[domain]


def _only(scanners: Iterable[ScannerKey]) -> ScannerKey | None:
    different = set(scanners)
    return different.pop() if len(different) == 1 else None
