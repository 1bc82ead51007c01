"""What is sent, and what is made of every answer."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, MammographyCADSRStorage
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from dosremc_node.delivery import send
from dosremc_node.records import DeliveryOutcome, Document
from dosremc_node.reporting import rendition

DELIVERED, RETRY, REFUSED = DeliveryOutcome.DELIVERED, DeliveryOutcome.RETRY, DeliveryOutcome.REFUSED


def data_set(document: Document) -> bytes:
    """The document without preamble and file meta: what goes over the wire."""
    dataset = pydicom.dcmread(BytesIO(document.content))
    return document.content[132 + 12 + dataset.file_meta[0x00020000].value :]


def test_the_wire_carries_the_kept_bytes(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """Promise 4: what arrives is byte-identical to what was kept, in order, over one association."""
    scp = start_scp()
    documents = [a_document(1), a_document(2)]
    results = list(send(scp.destination(), "NODE", documents, rendition))
    assert [(result.outcome, result.status, result.comment) for result in results] == [(DELIVERED, 0, "Success (0x0000)")] * 2
    assert [result.sop_instance_uid for result in results] == [document.sop_instance_uid for document in documents]
    assert scp.stored == [data_set(document) for document in documents]


def test_implicit_only_peer_gets_the_same_values(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """A PACS that takes only Implicit VR Little Endian receives the same document in that encoding."""
    scp = start_scp(syntaxes=(ImplicitVRLittleEndian,))
    document = a_document(1)
    (result,) = send(scp.destination(), "NODE", [document], rendition)
    assert result.outcome is DELIVERED
    received = pydicom.filereader.read_dataset(BytesIO(scp.stored[0]), is_implicit_VR=True, is_little_endian=True)
    sent = pydicom.dcmread(BytesIO(document.content))
    assert {element.tag: element.value for element in received} == {element.tag: element.value for element in sent}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0xB000, DELIVERED),
        (0xB006, DELIVERED),
        (0xB007, DELIVERED),
        (0xA700, RETRY),
        (0xA7FF, RETRY),
        (0x0110, RETRY),
        (0x0213, RETRY),
        (0xA900, REFUSED),
        (0xC000, REFUSED),
        (0xC123, REFUSED),
        (0x0122, REFUSED),
        (0x0124, REFUSED),
        (0x4711, RETRY),
    ],
)
def test_every_status_is_read(
    start_scp: Callable[..., Any], a_document: Callable[..., Document], status: int, outcome: DeliveryOutcome
) -> None:
    """Promise 2: stored with a warning is delivered, out of resources is tried again, a refusal is one."""
    scp = start_scp(status=status, comment="what the PACS says")
    (result,) = send(scp.destination(), "NODE", [a_document(1)], rendition)
    assert (result.outcome, result.status) == (outcome, status)
    assert f"0x{status:04X}" in result.comment
    assert result.comment.endswith(": what the PACS says")


def test_comment_with_control_characters_can_be_kept(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """An answer that the ledger cannot keep would be an answer that was never given."""
    scp = start_scp(status=0xC000, comment="what\0the\x1b[1mPACS says")
    (result,) = send(scp.destination(), "NODE", [a_document(1)], rendition)
    assert result.comment.endswith(": whatthe[1mPACS says")


def test_duplicate_that_the_pacs_has_is_delivered(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """Promise 4: 0x0111 after a crash means delivered, once the PACS has been asked."""
    scp = start_scp()
    document = a_document(1)
    list(send(scp.destination(), "NODE", [document], rendition))
    scp.status = 0x0111
    (result,) = send(scp.destination(), "NODE", [document], rendition)
    assert (result.outcome, result.status) == (DELIVERED, 0x0111)
    assert "it has the document" in result.comment


@pytest.mark.parametrize("behaviour", [{}, {"answers_find": False}, {"query": False}], ids=["not there", "query fails", "no query service"])
def test_duplicate_that_cannot_be_confirmed_is_tried_again(
    start_scp: Callable[..., Any], a_document: Callable[..., Document], behaviour: dict[str, Any]
) -> None:
    """0x0111 is never believed alone: another instance may have taken the UID, or the PACS cannot be asked."""
    scp = start_scp(status=0x0111, **behaviour)
    (result,) = send(scp.destination(), "NODE", [a_document(1)], rendition)
    assert (result.outcome, result.status) == (RETRY, 0x0111)


def test_rejected_presentation_context_refuses_that_document_only(
    start_scp: Callable[..., Any], a_document: Callable[..., Document]
) -> None:
    """A PACS that takes one of two SOP classes gets that one; the other is refused in words."""
    scp = start_scp()
    documents = [a_document(1, MammographyCADSRStorage), a_document(2)]
    results = list(send(scp.destination(), "NODE", documents, rendition))
    assert [result.outcome for result in results] == [REFUSED, DELIVERED]
    assert "does not accept this SOP class" in results[0].comment


def test_peer_that_accepts_none_of_the_classes_refuses(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """Where no presentation context at all is accepted every document is refused, not tried for ever."""
    scp = start_scp(storage=(MammographyCADSRStorage,))
    (result,) = send(scp.destination(), "NODE", [a_document(1)], rendition)
    assert (result.outcome, result.status) == (REFUSED, None)
    assert "none of the proposed SOP classes" in result.comment


def test_where_no_class_is_accepted_at_all_the_settings_are_asked_too(
    start_scp: Callable[..., Any], a_document: Callable[..., Document]
) -> None:
    """A document that goes alone, as a rejection note does, is left out like one that goes among others."""
    scp = start_scp(storage=(MammographyCADSRStorage,))
    results = list(send(scp.destination(not_accepted="skip"), "NODE", [a_document(1), a_document(2)], rendition))
    assert [result.outcome for result in results] == [DeliveryOutcome.SKIPPED] * 2
    assert "Comprehensive SR Storage" in results[0].comment


def test_unknown_called_ae_title_refuses_with_the_reason(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """A permanent rejection is a matter for the administrator, who reads its reason."""
    scp = start_scp()
    scp.entity.require_called_aet = True
    (result,) = send(scp.destination(ae_title="OTHER"), "NODE", [a_document(1)], rendition)
    assert result.outcome is REFUSED
    assert "Called AE title not recognised" in result.comment


def test_transient_rejection_is_tried_again(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """A PACS with too many associations rejects for the moment only."""
    scp = start_scp()
    scp.entity.maximum_associations = 1
    other = AE()
    other.add_requested_context(Verification)
    holding = other.associate("127.0.0.1", scp.port)
    (result,) = send(scp.destination(), "NODE", [a_document(1)], rendition)
    holding.release()
    assert result.outcome is RETRY
    assert "Rejected Transient" in result.comment


# pynetdicom drops the socket of a connection that failed without closing it.
unclosed_socket_of_the_library = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@unclosed_socket_of_the_library
def test_unreachable_peer_is_tried_again(start_scp: Callable[..., Any], a_document: Callable[..., Document], free_port: int) -> None:
    """Nobody listens: each document gets its own result, and the comment says where it was tried."""
    documents = [a_document(1), a_document(2)]
    results = list(send(start_scp().destination(port=free_port), "NODE", documents, rendition))
    assert [result.outcome for result in results] == [RETRY, RETRY]
    assert "Connection refused" in results[0].comment
    assert f"127.0.0.1:{free_port}" in results[0].comment


def test_unknown_host_is_tried_again(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """A name that does not resolve is said so."""
    (result,) = send(start_scp().destination(host="no-such-host.invalid"), "NODE", [a_document(1)], rendition)
    assert result.outcome is RETRY
    assert "host name is unknown" in result.comment


def test_abort_in_the_middle_leaves_the_rest_to_be_tried_again(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """What was acknowledged stays delivered; the document in flight and those behind it are tried again."""
    scp = start_scp()

    def store(event: Any) -> int:
        if len(scp.stored) == 1:
            event.assoc.abort()
            return 0xC000
        scp.stored.append(b"")
        return 0

    scp.store = store
    destination = scp.destination(timeout_seconds=1.0)
    results = list(send(destination, "NODE", [a_document(number) for number in (1, 2, 3)], rendition))
    assert [result.outcome for result in results] == [DELIVERED, RETRY, RETRY]
    assert [result.status for result in results] == [0, None, None]


def test_silent_peer_is_given_up_after_the_timeout(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """A PACS that takes a document and never answers is tried again, and does not hold the worker."""
    release = threading.Event()

    def store(event: Any) -> int:
        release.wait(30)
        return 0

    scp = start_scp(store=store)
    (result,) = send(scp.destination(timeout_seconds=0.3), "NODE", [a_document(1)], rendition)
    release.set()
    assert (result.outcome, result.status) == (RETRY, None)


def test_peer_that_accepts_tcp_and_says_nothing_is_tried_again(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """A listener that is no DICOM application is no crash either."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        destination = start_scp().destination(port=listener.getsockname()[1], timeout_seconds=0.3)
        (result,) = send(destination, "NODE", [a_document(1)], rendition)
    assert result.outcome is RETRY
    assert "no answer to the association request" in result.comment


def test_results_come_one_by_one(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """A result can be entered in the ledger before the next document is sent; stopping early releases the association."""
    scp = start_scp()
    results = send(scp.destination(), "NODE", [a_document(1), a_document(2)], rendition)
    assert next(results).outcome is DELIVERED
    assert len(scp.stored) == 1
    results.close()
    assert len(scp.stored) == 1


def test_nothing_identifying_is_logged(
    start_scp: Callable[..., Any], a_document: Callable[..., Document], caplog: pytest.LogCaptureFixture
) -> None:
    """Promise 13: neither the document's identifiers nor what the PACS wrote in its comment reach a log."""
    scp = start_scp(status=0x0111, comment="CANARY of the PACS")
    with caplog.at_level(logging.DEBUG):
        list(send(scp.destination(), "NODE", [a_document(1, PatientID="CANARY")], rendition))
    assert "CANARY" not in caplog.text
    assert "1.2.826.0.1.3680043.8.498.2000" not in caplog.text


def test_odd_answer_without_a_known_status_is_no_success(start_scp: Callable[..., Any], a_document: Callable[..., Document]) -> None:
    """A status of the pending kind, which C-STORE does not have, is not taken as delivered."""
    answer = Dataset()
    answer.Status = 0xFF00
    scp = start_scp(store=lambda _: answer)
    (result,) = send(scp.destination(), "NODE", [a_document(1)], rendition)
    assert result.outcome is RETRY
