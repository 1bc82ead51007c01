"""What other systems send of the truth, into the ledger: messages that wait, files of the watched folder. A thread of the worker.

Whatever is killed in its midst is begun again: a report that was entered before is not entered again, and a message or a file is settled
only after all its reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import structlog

from dosremc_node.errors import LedgerUnavailable, MessageRefused, OutcomesUnreadable
from dosremc_node.failures import describe
from dosremc_node.ledger.messages import MessageState, WaitingMessage, settle_message, waiting_messages
from dosremc_node.ledger.outcomes import enter_report
from dosremc_node.node import Node
from dosremc_node.outcomes import TYPES, OutcomeReader
from dosremc_node.outcomes.folder import WatchedFolder
from dosremc_node.records import OutcomeReport

_LOOK_AGAIN_SECONDS = 2.0
_MESSAGES_AT_ONCE = 50

log = structlog.get_logger(__name__)


class OutcomeIntake:
    """Enters what waits. Raises `SiteRulesUnreadable` where the site's codes or rules cannot be read."""

    def __init__(self, node: Node) -> None:
        settings = node.settings.outcomes
        self._ledger = node.ledger
        self._reader = OutcomeReader(settings)
        self._within = settings.match_within
        self._folder = WatchedFolder(settings.folder) if settings.folder else None

    def run(self, stop: Event) -> None:
        """Work on what waits, again and again, until ``stop`` is set."""
        while not stop.is_set():
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the boundary: whatever it was, everything still waits at the next look
                log.warning("outcomes_not_taken_in", reason=describe(error))
            stop.wait(_LOOK_AGAIN_SECONDS)

    def look(self) -> None:
        """Look once for messages and files; raises `LedgerUnavailable`, and then all that was not settled still waits."""
        while waiting := waiting_messages(self._ledger, TYPES, _MESSAGES_AT_ONCE):
            for message in waiting:
                self._work_on(message)
        for file in self._folder.look(self._import) if self._folder else ():
            if file.reason:
                log.warning("outcome_file_refused", reason=file.reason)

    def _work_on(self, message: WaitingMessage) -> None:
        state, reason, reports = MessageState.APPLIED, "", 0
        try:
            reports = self._enter(self._reader.read_message(message.content))
        except LedgerUnavailable:
            raise
        except MessageRefused as refused:
            state, reason = MessageState.REFUSED, str(refused.facts["why"])
        except Exception as error:  # noqa: BLE001 - the boundary: one message that cannot be worked on holds up no other
            state, reason = MessageState.REFUSED, describe(error)
        settle_message(self._ledger, message.message_id, state, reason)
        log.info("outcome_message_worked_on", sha256=message.sha256[:12], state=state, reports=reports)

    def _import(self, file: Path) -> None:
        """Enter a file's reports, all of them or none; raises `OutcomesUnreadable`."""
        try:
            reports = self._enter(self._reader.read_file(file))
        except (LedgerUnavailable, OutcomesUnreadable):
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: one file that brings a reader down holds up no other
            raise OutcomesUnreadable(why=describe(error)) from None
        log.info("outcome_file_imported", reports=reports)

    def _enter(self, reports: Sequence[OutcomeReport]) -> int:
        for report in reports:
            enter_report(self._ledger, report, datetime.now(UTC), self._within)
        return len(reports)
