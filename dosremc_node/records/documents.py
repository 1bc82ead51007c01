"""Documents and their way out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class DocumentKind(StrEnum):
    """The kinds of document a revision can have, each made in a file of its own under ``reporting``."""

    SUMMARY = "summary"
    REGION = "region"
    CAD = "cad"
    CAPTURE = "capture"
    PRESENTATION_STATE = "presentation-state"
    PDF = "pdf"
    SALIENCY = "saliency"
    REJECTION_NOTE = "rejection-note"


DEFAULT_DOCUMENTS: Final = (DocumentKind.SUMMARY, DocumentKind.REGION)
"""What a destination gets that asks for nothing else, and what is kept of every revision."""


@dataclass(frozen=True, slots=True)
class Document:
    """A rendered DICOM object: ``content`` is a whole Part 10 file, kept before the first send."""

    kind: DocumentKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    description: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DocumentFile:
    """A kept document as it is sent: the same bytes at every try."""

    sop_class_uid: str
    sop_instance_uid: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PredecessorDocument:
    """A document of the revision before, as the Predecessor Documents Sequence (0040,A360) names it."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """An instance that a PACS says it has (C-FIND), with its series."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    series_description: str
    modality: str


class DeliveryOutcome(StrEnum):
    """What a destination's answer means for us."""

    DELIVERED = "delivered"
    RETRY = "retry"
    REFUSED = "refused"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The answer of one destination to one document; ``status`` is the DIMSE status, None where none came."""

    sop_instance_uid: str
    outcome: DeliveryOutcome
    status: int | None
    comment: str


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What a PACS reports on storage commitment: SOP Instance UIDs, and Failure Reason (0008,1197) beside those that failed."""

    transaction_uid: str
    committed: tuple[str, ...]
    failed: tuple[tuple[str, int], ...]
