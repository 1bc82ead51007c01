"""Messages as the ledger takes them in, without a listener."""

from __future__ import annotations

import itertools

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.messages import IncomingMessage, MessageState, enter_message
from dosremc_node.records import PatientMerge, PatientUpdate
from harness.ledger import NOW

_numbers = itertools.count(1)


def says(ledger: Ledger, *changes: PatientUpdate | PatientMerge) -> None:
    """A message of its own that says so."""
    number = next(_numbers)
    message = IncomingMessage(f"{number:064x}", b"MSH", "ADT^A40", str(number), "RIS", "127.0.0.1", NOW)
    assert enter_message(ledger, message, MessageState.APPLIED, "", changes)
