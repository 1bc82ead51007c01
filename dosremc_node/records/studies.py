"""A study as it goes through the rooms: which images, which bank, pinned in a revision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from dosremc_node.records.images import ImageHeader, NotAssessedReason, PatientAndStudy, ScannerKey
from dosremc_node.records.models import BankId, Domain, OperatingPoint

StudyId = NewType("StudyId", str)
"""The ledger's own name of a study (``S-`` and 12 letters or digits). It is safe in logs: it says nothing of a patient."""


class UnknownScannerPolicy(StrEnum):
    """What happens to a study whose scanner belongs to no domain (promise 8)."""

    REFUSE = "refuse"
    SHADOW = "shadow"
    NEAREST = "nearest"


@dataclass(frozen=True, slots=True)
class StudyImage:
    """One image of a revision, with why it is not assessed (None where it is)."""

    instance_id: int
    sha256: str
    header: ImageHeader
    not_assessed: NotAssessedReason | None

    @property
    def name(self) -> str:
        """Side and view, such as ``L CC``: says nothing of the patient."""
        return f"{self.header.laterality or '?'} {self.header.view or 'unknown view'}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``studies`` decides before a revision is opened: which images, which domain, which model state, shown or not.

    ``bank`` is None where nothing may be scored; then ``not_assessed`` says why. With the policy ``shadow`` the bank is
    there and ``not_assessed`` too: it is scored, kept, and not shown.
    """

    images: tuple[StudyImage, ...]
    scanner: ScannerKey | None
    domain: Domain | None
    release_id: str
    bank: BankId | None
    operating_point: OperatingPoint | None
    not_assessed: NotAssessedReason | None
    nearest: bool = False
    """The scanner is unknown and the nearest bank was taken: the report says so."""
    withdrawn: tuple[StudyImage, ...] = ()
    """What rejection notes withdrew, beside ``images``, which are what is left. Where nothing is left, ``images`` are the withdrawn ones."""


@dataclass(frozen=True, slots=True)
class StudyRevision:
    """A study as it stood when it was complete, with everything pinned that its report will depend on."""

    study_id: StudyId
    number: int
    predecessor: int | None
    who: PatientAndStudy
    plan: Plan
    opened_at: datetime

    @property
    def key(self) -> str:
        """Short, unique, and free of identifiers: what the engine and the logs call this revision."""
        return f"{self.study_id}:{self.number}"

    @property
    def to_score(self) -> tuple[StudyImage, ...]:
        """The images the network sees; none where no bank was pinned."""
        if self.plan.bank is None:
            return ()
        return tuple(image for image in self.plan.images if image.not_assessed is None)
