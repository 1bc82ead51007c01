"""What a C-STORE status means for us: one table, to be read beside PS3.4 Table B.2-1 and PS3.7 Annex C.

The question each row answers is whether the PACS has the document (*delivered*), may have it later (*retry*), or will not
take it as it is (*refused*: a person has to look).
"""

from __future__ import annotations

from typing import Final

from dosremc_node.records import DeliveryOutcome

DELIVERED: Final = DeliveryOutcome.DELIVERED
RETRY: Final = DeliveryOutcome.RETRY
REFUSED: Final = DeliveryOutcome.REFUSED
SKIPPED: Final = DeliveryOutcome.SKIPPED

DUPLICATE_SOP_INSTANCE: Final = 0x0111
"""The PACS says that it has the document already, as after a crash between its answer and our row: to be checked by asking."""

MEANINGS: Final[tuple[tuple[range, DeliveryOutcome, str], ...]] = (
    # PS3.4 Table B.2-1, C-STORE
    (range(0x0001), DELIVERED, "Success"),
    (range(0xB000, 0xB001), DELIVERED, "Warning: coercion of data elements"),
    (range(0xB006, 0xB007), DELIVERED, "Warning: elements discarded"),
    (range(0xB007, 0xB008), DELIVERED, "Warning: data set does not match SOP class"),
    (range(0xA700, 0xA800), RETRY, "Refused: out of resources"),
    (range(0xA900, 0xAA00), REFUSED, "Error: data set does not match SOP class"),
    (range(0xC000, 0xD000), REFUSED, "Error: cannot understand"),
    # PS3.7 Annex C, all DIMSE services
    (range(0x0110, 0x0111), RETRY, "Processing failure"),
    (range(0x0111, 0x0112), RETRY, "Duplicate SOP instance"),
    (range(0x0112, 0x0113), REFUSED, "No such SOP instance"),
    (range(0x0115, 0x0116), REFUSED, "Invalid argument value"),
    (range(0x0117, 0x0118), REFUSED, "Invalid object instance"),
    (range(0x0118, 0x0119), REFUSED, "No such SOP class"),
    (range(0x0119, 0x011A), REFUSED, "Class-instance conflict"),
    (range(0x0120, 0x0121), REFUSED, "Missing attribute"),
    (range(0x0121, 0x0122), REFUSED, "Missing attribute value"),
    (range(0x0122, 0x0123), REFUSED, "Refused: SOP class not supported"),
    (range(0x0124, 0x0125), REFUSED, "Refused: not authorized"),
    (range(0x0210, 0x0211), RETRY, "Duplicate invocation"),
    (range(0x0211, 0x0212), REFUSED, "Unrecognized operation"),
    (range(0x0212, 0x0213), REFUSED, "Mistyped argument"),
    (range(0x0213, 0x0214), RETRY, "Resource limitation"),
    # PS3.7 Annex C.2 and C.3: what is in none of the rows above has at least a class
    (range(0x0001, 0x0002), DELIVERED, "Warning"),
    (range(0x0107, 0x0108), DELIVERED, "Warning: attribute list error"),
    (range(0x0116, 0x0117), DELIVERED, "Warning: attribute value out of range"),
    (range(0xB000, 0xC000), DELIVERED, "Warning"),
    (range(0xA000, 0xB000), RETRY, "Failure"),
)


COMMITMENT_FAILURES: Final[tuple[tuple[range, DeliveryOutcome, str], ...]] = (
    # PS3.3 C.14.1.1, Failure Reason (0008,1197): RETRY has the document sent again, and commitment asked for again
    (range(0x0110, 0x0111), RETRY, "Processing failure"),
    (range(0x0112, 0x0113), RETRY, "No such object instance"),
    (range(0x0213, 0x0214), RETRY, "Resource limitation"),
    (range(0x0122, 0x0123), REFUSED, "Referenced SOP class not supported"),
    (range(0x0119, 0x011A), REFUSED, "Class-instance conflict"),
    (range(0x0131, 0x0132), RETRY, "Duplicate transaction UID"),
)


def commitment_failure(reason: int) -> tuple[DeliveryOutcome, int, str]:
    """What it means that a PACS does not commit to a document, with the reason as number and in words."""
    known = (row for row in COMMITMENT_FAILURES if reason in row[0])
    _, outcome, words = next(known, (range(0), RETRY, "A reason that the standard does not know"))
    return outcome, reason, f"Stored, but not committed to: {words} (0x{reason:04X})"


def outcome_of(status: int) -> DeliveryOutcome:
    """What ``status`` means; one that the standard does not know is tried again, until the limit parks it."""
    return _row(status)[0]


def words_of(status: int) -> str:
    """The status in words and as the number that a PACS administrator looks for, such as ``0xA700``."""
    return f"{_row(status)[1]} (0x{status:04X})"


def _row(status: int) -> tuple[DeliveryOutcome, str]:
    for codes, outcome, words in MEANINGS:
        if status in codes:
            return outcome, words
    return RETRY, "A status that the standard does not know"
