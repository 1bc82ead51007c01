"""Storage commitment, as SCU (PS3.4 Annex J): a PACS is asked to take responsibility for what it has stored."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event as Flag
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.association import Association

from dosremc_node.delivery.association import associate
from dosremc_node.delivery.statuses import DELIVERED, REFUSED, RETRY, commitment_failure, outcome_of, words_of
from dosremc_node.errors import PeerRefused, PeerUnreachable, TlsUnusable
from dosremc_node.records import CommitmentReport, DeliveryResult
from dosremc_node.settings import Destination
from dosremc_node.storage_commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, REQUEST_ACTION, Accept, answer_report

HOLD_SECONDS: Final = 2.0
"""How long the association is kept open for a report. One that takes longer comes on an association that the PACS opens."""


def new_transaction_uid() -> str:
    """One of its own for each request: a PACS may refuse one that it has seen (0x0131)."""
    return str(generate_uid(prefix=None))


def ask_commitment(
    peer: Destination, calling_ae_title: str, transaction_uid: str, instances: Sequence[tuple[str, str]], accept: Accept
) -> DeliveryResult:
    """Ask for commitment to ``instances`` (SOP Class UID and SOP Instance UID); nothing is raised for what the peer does.

    The result is about the request, under its transaction UID: *delivered* where the peer has taken it. A report that comes before the
    association is released is handed to ``accept``.
    """
    reported = Flag()

    def report(event: evt.Event) -> tuple[int, Dataset | None]:
        answer = answer_report(event, accept)
        reported.set()
        return answer

    try:
        with associate(peer, calling_ae_title, [PUSH_MODEL], [(evt.EVT_N_EVENT_REPORT, report)]) as association:
            result = _request(association, transaction_uid, instances)
            if result.outcome is DELIVERED:
                reported.wait(HOLD_SECONDS)
            return result
    except (PeerRefused, PeerUnreachable, TlsUnusable) as error:
        outcome = RETRY if isinstance(error, PeerUnreachable) else REFUSED
        return DeliveryResult(transaction_uid, outcome, None, f"Stored. Storage commitment cannot be asked for: {error}")


def _request(association: Association, transaction_uid: str, instances: Sequence[tuple[str, str]]) -> DeliveryResult:
    try:
        answer, _ = association.send_n_action(_information(transaction_uid, instances), REQUEST_ACTION, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    except (RuntimeError, ValueError):
        # The association ended after it was opened.
        answer = Dataset()
    if "Status" not in answer:
        return DeliveryResult(transaction_uid, RETRY, None, "Stored. The request for storage commitment was not answered.")
    words = f"Stored. Storage commitment was asked for: {words_of(answer.Status)}"
    return DeliveryResult(transaction_uid, outcome_of(answer.Status), answer.Status, words)


def _information(transaction_uid: str, instances: Sequence[tuple[str, str]]) -> Dataset:
    """The action information (PS3.4 Table J.3-1)."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
        information.ReferencedSOPSequence.append(item)
    return information


def commitment_results(report: CommitmentReport) -> Sequence[DeliveryResult]:
    """What a report means for each document: it is delivered, to be sent again, or for a person to look at.

    An instance on both lists has failed.
    """
    failed = [DeliveryResult(uid, *commitment_failure(reason)) for uid, reason in report.failed]
    uids = {result.sop_instance_uid for result in failed}
    committed = [DeliveryResult(uid, DELIVERED, 0, "Committed to its storage") for uid in report.committed if uid not in uids]
    return [*committed, *failed]
