"""Sending documents (C-STORE SCU, PS3.4 Annex B): every answer is read, and none is assumed (promise 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Protocol

import pydicom
from pydicom.dataset import Dataset
from pynetdicom.association import Association

from dosremc_node.delivery.asking import has_instance
from dosremc_node.delivery.association import Peer, accepted, associate
from dosremc_node.delivery.statuses import DELIVERED, DUPLICATE_SOP_INSTANCE, REFUSED, RETRY, outcome_of, words_of
from dosremc_node.errors import PeerRefused, PeerUnreachable
from dosremc_node.records import DeliveryOutcome, DeliveryResult


class Sendable(Protocol):
    """What is sent: a `records.Document` is one. ``content`` is a whole Part 10 file."""

    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def content(self) -> bytes: ...


def send(peer: Peer, calling_ae_title: str, documents: Sequence[Sendable]) -> Iterator[DeliveryResult]:
    """Send ``documents`` over one association and yield the answer to each as soon as it is there.

    There is one result for each document, in order, whatever the peer does: nothing is raised for it. A comment may quote
    what the PACS wrote in Error Comment (0000,0902), which can name the patient: it belongs in the ledger, not in a log.
    """
    answered = 0
    try:
        with associate(peer, calling_ae_title, [document.sop_class_uid for document in documents]) as association:
            for document in documents:
                result = _store(association, document)
                if result.status == DUPLICATE_SOP_INSTANCE:
                    result = _check_duplicate(peer, calling_ae_title, document, result)
                answered += 1
                yield result
    except (PeerRefused, PeerUnreachable) as error:
        outcome = REFUSED if isinstance(error, PeerRefused) else RETRY
        for document in documents[answered:]:
            yield DeliveryResult(document.sop_instance_uid, outcome, None, str(error))


def _store(association: Association, document: Sendable) -> DeliveryResult:
    def result(outcome: DeliveryOutcome, comment: str, status: int | None = None) -> DeliveryResult:
        return DeliveryResult(document.sop_instance_uid, outcome, status, comment)

    if not association.is_established:
        return result(RETRY, "The association had ended before this document's turn.")
    if not accepted(association, document.sop_class_uid):
        return result(REFUSED, "The destination does not accept this SOP class (presentation context rejected).")
    try:
        answer = association.send_c_store(_dataset(document))
    except RuntimeError:
        # The association ended after the look at it, above.
        answer = Dataset()
    if "Status" not in answer:
        return result(RETRY, "No answer came: the destination was silent for too long, or ended the association.")
    return result(outcome_of(answer.Status), _comment(answer), answer.Status)


def _dataset(document: Sendable) -> Dataset:
    return pydicom.dcmread(BytesIO(document.content))


def _comment(answer: Dataset) -> str:
    """The status in words, with what the PACS wrote beside it."""
    said = str(answer.get("ErrorComment") or "").strip()
    return f"{words_of(answer.Status)}: {said}" if said else words_of(answer.Status)


def _check_duplicate(peer: Peer, calling_ae_title: str, document: Sendable, result: DeliveryResult) -> DeliveryResult:
    """0x0111 after a crash means delivered, once the PACS has been asked and has it (promise 4)."""
    dataset = _dataset(document)
    uids = (str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), document.sop_instance_uid)
    try:
        there = has_instance(peer, calling_ae_title, *uids)
    except (PeerRefused, PeerUnreachable) as error:
        return replace(result, outcome=RETRY, comment=f"{result.comment}. Whether it has the document could not be asked: {error}")
    if there:
        return replace(result, outcome=DELIVERED, comment=f"{result.comment}. Asked by C-FIND, it has the document.")
    return replace(result, outcome=RETRY, comment=f"{result.comment}. Asked by C-FIND, it does not have the document.")
