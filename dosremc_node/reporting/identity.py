"""Who a document is: the UIDs, numbers and times that follow from the revision, so that rendering it again gives the same."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta, timezone
from typing import Final

from dosremc_node.records import DocumentKind, StudyRevision

FIRST_SERIES_NUMBER: Final = 9000
SERIES_NUMBERS_PER_REVISION: Final = 100
FIRST_PLACE: Final = {
    DocumentKind.SUMMARY: 0,
    DocumentKind.REGION: 0,
    DocumentKind.CAD: 25,
    DocumentKind.CAPTURE: 25,
    DocumentKind.PRESENTATION_STATE: 50,
    DocumentKind.PDF: 75,
    DocumentKind.SALIENCY: 76,
    DocumentKind.REJECTION_NOTE: 99,
}
"""Where each kind's series begin, so that a document's number does not hang on which other kinds are asked for."""


def document_uid(node_name: str, revision: StudyRevision, kind: DocumentKind, sop_class_uid: str, image_uid: str = "") -> str:
    """The SOP Instance UID of a revision's document.

    It is derived from node, study, revision, release, kind, image and SOP class (promise 4), so a document that is
    rendered a second time is recognised as the same one. ``image_uid`` is empty for documents of the whole study.
    """
    return derived_uid("instance", *_parts(node_name, revision, kind, sop_class_uid, image_uid))


def series_uid(node_name: str, revision: StudyRevision, kind: DocumentKind, sop_class_uid: str, image_uid: str = "") -> str:
    """The Series Instance UID, derived likewise: each document has a series of its own."""
    return derived_uid("series", *_parts(node_name, revision, kind, sop_class_uid, image_uid))


def tracking_uid(node_name: str, release_id: str, image_uid: str, finding: int) -> str:
    """The Tracking Unique Identifier (112040, DCM) of an image's finding: the same in later revisions of the study.

    Each image has its own, because viewers draw what shares one as a single mark.
    """
    return derived_uid("tracking", node_name, release_id, image_uid, str(finding))


def series_number(revision: StudyRevision, kind: DocumentKind, place: int) -> int:
    """High, so that reports stand behind the images in a list; ``place`` is 0 for the study's document of a kind, then 1, 2, ... by image."""
    return FIRST_SERIES_NUMBER + SERIES_NUMBERS_PER_REVISION * (revision.number - 1) + FIRST_PLACE[kind] + place


def local_time(moment: datetime, offset: str, taken: str = "") -> datetime:
    """``moment`` on the clock that the study's own dates and times are in.

    ``offset`` is the images' Timezone Offset From UTC (0008,0201). Without a valid one it is what the machine's time zone had when the
    study was ``taken`` (its date and time, as ``YYYYMMDDhhmmss``): a study of the winter that is reported in summer stays in winter time.
    One data set has one offset for all its times (PS3.3 C.12.1.1.1), so ours must be that of the copied study time.
    """
    match = re.fullmatch(r"([+-])(\d\d)([0-5]\d)", offset.strip())
    if match is None or int(match[2]) > 14:
        return moment.astimezone(_zone_at(taken))
    minutes = 60 * int(match[2]) + int(match[3])
    return moment.astimezone(timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes)))


def _zone_at(taken: str) -> timezone | None:
    """The machine's time zone at a local date and time; None where there is no such date, or no offset that DICOM can write."""
    try:
        offset = datetime.strptime(taken, "%Y%m%d%H%M%S").astimezone().utcoffset()
    except (ValueError, OverflowError, OSError):
        return None
    return timezone(offset) if offset is not None and offset % timedelta(minutes=1) == timedelta(0) else None


def _parts(node_name: str, revision: StudyRevision, kind: DocumentKind, sop_class_uid: str, image_uid: str) -> tuple[str, ...]:
    study = (revision.who.study_instance_uid, str(revision.number))  # not the ledger's name: a restored ledger may give another
    return (node_name, *study, revision.plan.release_id, kind, image_uid, sop_class_uid)


def derived_uid(*parts: str) -> str:
    """The UID that follows from ``parts`` (PS3.5 B.2, from a digest instead of a UUID)."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
