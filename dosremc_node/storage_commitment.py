"""The Storage Commitment Push Model SOP class (PS3.4 Annex J): what is said the same way wherever a report comes in.

A PACS may report on the association on which it was asked, which `delivery` opened, or on one that it opens itself to `reception`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.events import Event

from dosremc_node.failures import describe
from dosremc_node.records import CommitmentReport

PUSH_MODEL: Final = UID("1.2.840.10008.1.20.1")
PUSH_MODEL_INSTANCE: Final = UID("1.2.840.10008.1.20.1.1")
REQUEST_ACTION: Final = 1
_SUCCESS, _PROCESSING_FAILURE, _INVALID_ARGUMENT = 0x0000, 0x0110, 0x0115

Accept = Callable[[CommitmentReport], object]
"""Enters a report; once it returns the PACS hears Success, and where it raises it hears that it should report again."""

log = structlog.get_logger(__name__)


def answer_report(event: Event, accept: Accept) -> tuple[int, Dataset | None]:
    """Handler of EVT_N_EVENT_REPORT: the status that the PACS hears. The boundary: whatever happens, it gets an answer."""
    try:
        report = _read(event.event_information)
    except Exception as error:  # noqa: BLE001 - whatever a peer sends
        log.warning("commitment_report_unreadable", reason=describe(error))
        return _INVALID_ARGUMENT, None
    try:
        accept(report)
    except Exception as error:  # noqa: BLE001 - the report must come again
        log.warning("commitment_report_not_entered", reason=describe(error))
        return _PROCESSING_FAILURE, None
    return _SUCCESS, None


def _read(information: Dataset) -> CommitmentReport:
    """The event information (PS3.4 Table J.3-2), whichever of the two event types it came under."""
    return CommitmentReport(
        transaction_uid=str(information.TransactionUID),
        committed=tuple(str(item.ReferencedSOPInstanceUID) for item in information.get("ReferencedSOPSequence") or ()),
        failed=tuple((str(item.ReferencedSOPInstanceUID), int(item.FailureReason)) for item in information.get("FailedSOPSequence") or ()),
    )
