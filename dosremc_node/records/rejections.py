"""Rejection notes: who says, in one DICOM key object, that images are not to be used any more (IHE RAD TF, profile IOCM)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dosremc_node.records.images import NotAssessedReason


class RejectionReason(StrEnum):
    """Why something is rejected: the code (scheme DCM) that a rejection note has as its title."""

    QUALITY = "113001"
    PATIENT_SAFETY = "113037"
    INCORRECT_WORKLIST_ENTRY = "113038"
    RETENTION_EXPIRED = "113039"

    @property
    def lasts(self) -> bool:
        """Whether the image stays rejected when it is sent again.

        What is wrong with an image (quality, safety, a wrong worklist entry) is still wrong with it then: a corrected one comes under a UID
        of its own. A retention period only says that an archive did not want to keep it any longer.
        """
        return self is not RejectionReason.RETENTION_EXPIRED

    @property
    def withdrawn(self) -> NotAssessedReason:
        """What a report says of an image that was rejected so."""
        return _WITHDRAWN[self]


_WITHDRAWN: Final = {
    RejectionReason.QUALITY: NotAssessedReason.WITHDRAWN_FOR_QUALITY,
    RejectionReason.PATIENT_SAFETY: NotAssessedReason.WITHDRAWN_FOR_SAFETY,
    RejectionReason.INCORRECT_WORKLIST_ENTRY: NotAssessedReason.WITHDRAWN_FOR_WORKLIST,
    RejectionReason.RETENTION_EXPIRED: NotAssessedReason.WITHDRAWN_FOR_RETENTION,
}
WITHDRAWN: Final = frozenset({*_WITHDRAWN.values(), NotAssessedReason.OTHER_PATIENT})
"""What takes an image out of its study, so that a report does not even name it as not assessed."""


@dataclass(frozen=True, slots=True)
class RejectionNote:
    """A rejection note, with what it rejects as (Study Instance UID, SOP Instance UID)."""

    sop_instance_uid: str
    reason: RejectionReason
    rejected: tuple[tuple[str, str], ...]
