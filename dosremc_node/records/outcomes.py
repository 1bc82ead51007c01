"""What is known of the truth: what another system reports of a woman, and what that makes of a breast of one of her exams."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from dosremc_node.records.images import Laterality
from dosremc_node.records.patients import PatientIdentifier


class LabelState(StrEnum):
    """What is known of the truth. Pending is not negative (promise 11)."""

    PENDING = "pending"
    POSITIVE = "positive"
    CONFIRMED_NEGATIVE = "confirmed negative"
    UNKNOWN = "unknown"


class Provenance(StrEnum):
    """How the truth of a breast came to be known."""

    SCREEN_DETECTED = "screen-detected"
    INTERVAL = "interval"
    BIOPSY_BENIGN = "biopsy benign"
    FOLLOW_UP = "follow-up"
    RANDOM_AUDIT = "random audit"


class Diagnosis(StrEnum):
    """What a report of pathology or of a follow-up says of a breast."""

    MALIGNANT = "malignant"
    BENIGN = "benign"
    NORMAL = "normal"
    """A later examination found nothing."""


class OutcomeStatus(StrEnum):
    """What a report is to an earlier one of the same identifier (HL7 table 0085, FHIR DiagnosticReport.status)."""

    PRELIMINARY = "preliminary"
    FINAL = "final"
    CORRECTED = "corrected"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """What one report says of one breast.

    ``identifier`` names the result at its ``source``: a correction or a withdrawal carries the one that it replaces. ``laterality`` and
    ``diagnosis`` are None where the report does not say so for certain, and then ``review`` says why a person is to look. ``codes`` are
    those that the diagnosis was read from, as ``code^coding system``. ``examined_on`` is when the tissue was taken or the follow-up made.
    """

    source: str
    identifier: str
    status: OutcomeStatus
    patient: PatientIdentifier
    accession_number: str
    laterality: Laterality | None
    diagnosis: Diagnosis | None
    examined_on: date | None
    codes: tuple[str, ...] = ()
    text: str = field(default="", repr=False)
    provenance: Provenance | None = None
    """Where the report itself says how the truth came to be known."""
    review: str = ""
    issued_at: datetime | None = None
    """When the source says that it issued this version, with its zone (OBR-22; FHIR ``issued``): it puts corrections in order."""


@dataclass(frozen=True, slots=True)
class LabelRules:
    """How long what belongs to an exam (settings `outcomes`): see `ledger.label_rules`.

    A negative may be believed after ``maturity``. A recalled woman is worked up for ``work_up``. An exam that is taken ``next_round`` after
    another, or later, is of the next round of screening.
    """

    maturity: timedelta
    work_up: timedelta = timedelta(days=183)
    next_round: timedelta = timedelta(days=548)
    follow_up_is_complete: bool = True


LARGEST_WEIGHT = 20.0
"""Selection weights are clipped here, so that one woman cannot stand for a year; how many were is reported."""
