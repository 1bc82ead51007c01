"""What a system sent of a woman's tissue, whatever the format it came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from dosremc_node.outcomes.site_rules import Question
from dosremc_node.outcomes.systems import CodedValue
from dosremc_node.records import OutcomeStatus, PatientIdentifier


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation: OBX, or FHIR's resource of that name.

    ``part`` names the specimen, or the group of observations, that it belongs to within the result, ``number`` itself. ``sites`` are what
    is said of where the tissue is from: by the observation, by the specimen, by the order. ``status`` is None where nothing says it.
    """

    part: str
    number: str
    question: Question | None
    status: OutcomeStatus | None
    answers: tuple[CodedValue, ...] = ()
    text: str = field(default="", repr=False)
    sites: tuple[tuple[CodedValue, ...], ...] = ()
    is_document: bool = False
    taken_on: date | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One result of a system, under the number that it keeps through corrections (OBR-3, DiagnosticReport.identifier)."""

    source: str
    number: str
    patient: PatientIdentifier
    accession_number: str
    issued_at: datetime | None
    observations: tuple[Observation, ...]
