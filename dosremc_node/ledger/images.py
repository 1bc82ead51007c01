"""Which images lie among the artifacts: what may be removed, what was removed, and what is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from dosremc_node.ledger import audit
from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.overview import shown_state, with_latest_revision
from dosremc_node.ledger.states import RevisionState, Standing, StudyState
from dosremc_node.ledger.tables import InstanceRow, RevisionRow, StudyRow
from dosremc_node.records import Assessment, StudyId, from_json


@dataclass(frozen=True, slots=True)
class RemovedImages:
    """What of a study is to be taken from the artifacts now that the ledger has it as removed."""

    sha256: tuple[str, ...]
    saliency_keys: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """How many received images are among the artifacts, how many were removed, and how many are missing."""

    kept: int
    removed: int
    missing: int


def _still_needed() -> Sequence[ColumnElement[bool]]:
    """Why the images of a study are not to be removed. Whatever else comes to need them, such as an outcome cohort, adds its
    condition here.
    """
    unsettled = (Standing.CONTENDER, Standing.QUARANTINED)
    return (
        shown_state() != StudyState.DONE,
        StudyRow.study_id.in_(select(InstanceRow.study_id).where(InstanceRow.standing.in_(unsettled))),
        StudyRow.study_id.in_(select(RevisionRow.study_id).where(RevisionRow.state == RevisionState.ASSESSING)),
        StudyRow.study_id.in_(select(InstanceRow.study_id).where(InstanceRow.missing_since.is_not(None))),
    )


def removable_studies(ledger: Ledger, last_received_before: datetime, at_most: int) -> Sequence[StudyId]:
    """Studies with images that nobody needs any more, those first that have waited longest."""
    query = with_latest_revision(StudyRow.study_id).where(
        StudyRow.last_received_at < last_received_before,
        RevisionRow.finished_at < last_received_before,
        StudyRow.study_id.in_(select(InstanceRow.study_id).where(InstanceRow.removed_at.is_(None))),
        *(~reason for reason in _still_needed()),
    )
    with ledger.reading() as session:
        return session.scalars(query.order_by(StudyRow.last_received_at).limit(at_most)).all()


def mark_removed(ledger: Ledger, study_id: StudyId, now: datetime, why: str) -> RemovedImages | None:
    """Enter and trace that a study's images are removed; None where they are needed after all.

    The bytes go afterwards, within `removed`: what a crash leaves of them is found at the next start.
    """
    with ledger.transaction() as session:
        session.get_one(StudyRow, study_id, with_for_update=True)
        needed = with_latest_revision(StudyRow.study_id).where(StudyRow.study_id == study_id, *(~reason for reason in _still_needed()))
        if session.scalar(needed) is None:
            return None
        rows = session.scalars(select(InstanceRow).where(InstanceRow.study_id == study_id, InstanceRow.removed_at.is_(None))).all()
        for row in rows:
            row.removed_at = now
        what = RemovedImages(tuple(row.sha256 for row in rows), _saliency_keys(session, study_id), sum(row.size for row in rows))
        audit.append(session, "retention", "remove images", study_id, {"images": len(rows), "bytes": what.size, "why": why})
        return what


def _saliency_keys(session: Session, study_id: StudyId) -> tuple[str, ...]:
    """Of all revisions of a study, but for those that an unfinished study shares with it because its pixels are the same."""
    unfinished = select(RevisionRow.assessment).where(RevisionRow.study_id != study_id, RevisionRow.state != RevisionState.DONE)
    own = select(RevisionRow.assessment).where(RevisionRow.study_id == study_id)
    keys, shared = ({key for text in session.scalars(query) if text for key in _keys_of(text)} for query in (own, unfinished))
    return tuple(sorted(keys - shared))


def _keys_of(assessment: str) -> Iterator[str]:
    return (image.saliency_key for image in from_json(Assessment, assessment).images if image.saliency_key)


@contextmanager
def removed(ledger: Ledger, sha256: Collection[str]) -> Iterator[Sequence[str]]:
    """Which of the digests are still those of removed images; none of them can come back while the context lasts."""
    with ledger.transaction() as session:
        query = select(InstanceRow.sha256).where(InstanceRow.sha256.in_(sha256), InstanceRow.removed_at.is_not(None))
        yield session.scalars(query.with_for_update()).all()


def known_digests(ledger: Ledger, sha256: Collection[str]) -> Mapping[str, bool]:
    """Those of the digests that are some image's, each with whether that was removed."""
    query = select(InstanceRow.sha256, InstanceRow.removed_at).where(InstanceRow.sha256.in_(sha256))
    with ledger.reading() as session:
        return {digest: removed_at is not None for digest, removed_at in session.execute(query)}


def kept_images(ledger: Ledger, after: int, at_most: int) -> Sequence[tuple[int, str]]:
    """The next images beyond instance ``after`` that should be among the artifacts: instance id and digest of each."""
    query = select(InstanceRow.id, InstanceRow.sha256).where(InstanceRow.id > after, InstanceRow.removed_at.is_(None))
    with ledger.reading() as session:
        return [(number, digest) for number, digest in session.execute(query.order_by(InstanceRow.id).limit(at_most))]


def enter_stock(ledger: Ledger, found: Collection[int], missing: Collection[int], now: datetime) -> Sequence[StudyId]:
    """Enter which instances are there and which are not; answers the studies of those that were not known to be missing."""
    with ledger.transaction() as session:
        session.execute(update(InstanceRow).where(InstanceRow.id.in_(found)).values(missing_since=None))
        newly = (InstanceRow.id.in_(missing), InstanceRow.removed_at.is_(None), InstanceRow.missing_since.is_(None))
        studies = session.scalars(select(InstanceRow.study_id).where(*newly).distinct()).all()
        session.execute(update(InstanceRow).where(*newly).values(missing_since=now))
        return [StudyId(each) for each in studies]


def image_counts(ledger: Ledger) -> ImageCounts:
    """How many images are where they should be."""
    query = select(func.count(), func.count(InstanceRow.removed_at), func.count(InstanceRow.missing_since))
    with ledger.reading() as session:
        every, gone, missing = session.execute(query).one()
        return ImageCounts(every - gone - missing, gone, missing)
