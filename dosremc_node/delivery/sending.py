"""Sending documents (C-STORE SCU, PS3.4 Annex B): every answer is read, and none is assumed (promise 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.association import Association

from dosremc_node.delivery import dicomweb
from dosremc_node.delivery.asking import has_instance
from dosremc_node.delivery.association import accepted, associate
from dosremc_node.delivery.rules import Rendition, Sendable, not_accepted
from dosremc_node.delivery.sop_classes import candidates, choose
from dosremc_node.delivery.statuses import DELIVERED, DUPLICATE_SOP_INSTANCE, REFUSED, RETRY, outcome_of, words_of
from dosremc_node.errors import NoSopClassAccepted, PeerRefused, PeerUnreachable, TlsUnusable
from dosremc_node.records import DeliveryResult
from dosremc_node.settings import Destination


def send(peer: Destination, calling_ae_title: str, documents: Sequence[Sendable], rendition: Rendition) -> Iterator[DeliveryResult]:
    """Send ``documents`` over one association, or by STOW-RS, and yield the answer to each as soon as it is there.

    Each goes as the first SOP class that the peer wants and accepts; ``rendition`` is asked for it where the document is of another. There
    is one result for each document, in order, under the UID that was sent, whatever the peer does: nothing is raised for it. A comment
    may quote what the PACS wrote in Error Comment (0000,0902), which can name the patient: it belongs in the ledger, not in a log.
    """
    if peer.dicomweb is not None:
        yield from dicomweb.store(peer, documents, rendition)
        return
    classes = [uid for document in documents for uid in candidates(document.sop_class_uid, peer.structured_reports)]
    answered = 0
    try:
        with associate(peer, calling_ae_title, classes) as association:
            for document in documents:
                sent = document
                if sop_class := choose(document.sop_class_uid, peer.structured_reports, partial(accepted, association)):
                    sent = document if sop_class == document.sop_class_uid else rendition(document, sop_class)
                result = _store(association, sent) if sop_class else not_accepted(peer, document)
                if result.status == DUPLICATE_SOP_INSTANCE:
                    result = _check_duplicate(peer, calling_ae_title, sent, result)
                answered += 1
                yield result
    except NoSopClassAccepted as error:
        for document in documents:
            result = not_accepted(peer, document)
            yield replace(result, comment=f"{error} {result.comment}")
    except (PeerRefused, PeerUnreachable, TlsUnusable) as error:
        outcome = RETRY if isinstance(error, PeerUnreachable) else REFUSED
        for document in documents[answered:]:
            yield DeliveryResult(document.sop_instance_uid, outcome, None, str(error))


def _store(association: Association, document: Sendable) -> DeliveryResult:
    if not association.is_established:
        return DeliveryResult(document.sop_instance_uid, RETRY, None, "The association had ended before this document's turn.")
    try:
        answer = association.send_c_store(_encoded_for(association, document))
    except RuntimeError:
        # The association ended after the look at it, above.
        answer = Dataset()
    if "Status" not in answer:
        silence = "No answer came: the destination was silent for too long, or ended the association."
        return DeliveryResult(document.sop_instance_uid, RETRY, None, silence)
    return DeliveryResult(document.sop_instance_uid, outcome_of(answer.Status), answer.Status, _comment(answer))


def _encoded_for(association: Association, document: Sendable) -> Dataset:
    """The kept data set; for a peer that takes Implicit VR only, the same values without their VRs."""
    dataset = _dataset(document)
    syntaxes = {c.transfer_syntax[0] for c in association.accepted_contexts if c.abstract_syntax == document.sop_class_uid}
    if dataset.file_meta.TransferSyntaxUID not in syntaxes:
        _forget_explicit_vr(dataset)
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return dataset


def _forget_explicit_vr(dataset: Dataset) -> None:
    """Have the writer take every value byte by byte: decoded and encoded again, odd names would change or fail."""
    for element in (dataset[tag] for tag in list(dataset.keys()) if dataset.get_item(tag).VR == "SQ"):
        for item in element.value:
            _forget_explicit_vr(item)
    dataset.set_original_encoding(is_implicit_vr=True, is_little_endian=True, character_encoding=dataset.original_character_set)


def _dataset(document: Sendable) -> Dataset:
    return pydicom.dcmread(BytesIO(document.content))


def _comment(answer: Dataset) -> str:
    """The status in words, with what the PACS wrote beside it, without control characters: PostgreSQL refuses NUL."""
    said = "".join(filter(str.isprintable, str(answer.get("ErrorComment") or ""))).strip()
    return f"{words_of(answer.Status)}: {said}" if said else words_of(answer.Status)


def _check_duplicate(peer: Destination, calling_ae_title: str, document: Sendable, result: DeliveryResult) -> DeliveryResult:
    """0x0111 after a crash means delivered, once the PACS has been asked and has it (promise 4)."""
    dataset = _dataset(document)
    uids = (str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), document.sop_instance_uid)
    try:
        there = has_instance(peer, calling_ae_title, *uids)
    except (PeerRefused, PeerUnreachable, TlsUnusable) as error:
        return replace(result, outcome=RETRY, comment=f"{result.comment}. Whether it has the document could not be asked: {error}")
    if there:
        return replace(result, outcome=DELIVERED, comment=f"{result.comment}. Asked by C-FIND, it has the document.")
    return replace(result, outcome=RETRY, comment=f"{result.comment}. Asked by C-FIND, it does not have the document.")
