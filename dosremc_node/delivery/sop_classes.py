"""Which SOP classes a document may be sent as, and which of them it is sent as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from dosremc_node.settings import StructuredReport

STRUCTURED_REPORTS: Final[Mapping[StructuredReport, UID]] = {
    StructuredReport.COMPREHENSIVE: ComprehensiveSRStorage,
    StructuredReport.COMPREHENSIVE_3D: Comprehensive3DSRStorage,
    StructuredReport.ENHANCED: EnhancedSRStorage,
}
"""The classes that are as good as each other for our reports, which have flat coordinates and no content item by reference.

A Mammography CAD SR refers to its image library by place: it has its own class, and no other.
"""


def candidates(sop_class_uid: str, preferences: Sequence[StructuredReport]) -> Sequence[str]:
    """The SOP classes that a document of this class may be sent as, in the order in which a destination wants them."""
    if sop_class_uid not in STRUCTURED_REPORTS.values():
        return [sop_class_uid]
    return [STRUCTURED_REPORTS[each] for each in preferences]


def choose(sop_class_uid: str, preferences: Sequence[StructuredReport], accepted: Callable[[str], bool]) -> str | None:
    """The first of the candidates that is accepted; None where none is."""
    return next((each for each in candidates(sop_class_uid, preferences) if accepted(each)), None)


def names(sop_class_uids: Sequence[str]) -> str:
    """SOP classes as an administrator finds them in the conformance statement of a PACS."""
    return ", ".join(f"{UID(uid).name} ({uid})" for uid in sop_class_uids)
