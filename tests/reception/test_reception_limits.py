"""How many, how fast, how large and how long: what a peer may, and what it is told beyond that."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
from harness.hostile import command_set, pdu, pdv, request
from pydicom.dataset import Dataset
from pynetdicom.association import Association

from dosremc_node.configuration import load
from dosremc_node.errors import WrongSetting
from dosremc_node.reception.admission import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    LOCAL_LIMIT_EXCEEDED,
    TEMPORARY_CONGESTION,
    Rejection,
)

A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ABORT = 2, 3, 7


def told(association: Association) -> tuple[int, int, int]:
    """Result, source and reason of the A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
    assert association.is_rejected
    answer = association.acceptor.primitive
    return (answer.result, answer.result_source, answer.diagnostic)


def numbers(rejection: Rejection) -> tuple[int, int, int]:
    return (rejection.result, rejection.source, rejection.reason)


def test_one_peer_cannot_take_every_place(listen: Callable, connect: Callable) -> None:
    """A peer that has as many associations as one may is told so, while another is let in."""
    port = listen(max_associations=10, max_associations_per_peer=2).port
    opened = [connect(port, calling="UNIT1"), connect(port, calling="UNIT1")]
    assert all(association.is_established for association in opened)
    assert told(connect(port, calling="UNIT1")) == numbers(LOCAL_LIMIT_EXCEEDED)
    assert connect(port, calling="UNIT2").is_established


def test_a_peer_that_asks_too_fast_is_told_to_wait(listen: Callable, connect: Callable) -> None:
    """Beyond its rate a peer meets temporary congestion, another peer does not, and it is let in again later."""
    port = listen(associations_per_second=0.5).port
    connect(port, calling="UNIT1").release()
    assert told(connect(port, calling="UNIT1")) == numbers(TEMPORARY_CONGESTION)
    assert connect(port, calling="UNIT2").is_established
    deadline = time.monotonic() + 20
    while not connect(port, calling="UNIT1").is_established:
        assert time.monotonic() < deadline


def test_another_application_context_is_rejected(listen: Callable) -> None:
    """Who speaks something else than DICOM on the upper layer is told that, for good."""
    body = request().replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.9")
    with socket.create_connection(("127.0.0.1", listen().port), timeout=20) as connection:
        connection.sendall(pdu(1, body))
        answer = connection.recv(100)
    assert (answer[0], tuple(answer[7:10])) == (A_ASSOCIATE_RJ, numbers(APPLICATION_CONTEXT_NOT_SUPPORTED))


def test_an_object_that_is_too_large_is_refused_and_leaves_nothing(
    listen: Callable, connect: Callable, mammogram: Callable[..., Dataset]
) -> None:
    """It is read to its end, answered with a failure that says why, and the next object on the same association is taken."""
    node = listen(object_megabytes=1)
    association = connect(node.port)
    answer = association.send_c_store(mammogram(kilobytes=1100))
    assert answer.Status == 0xC001
    assert "larger" in answer.ErrorComment
    assert association.send_c_store(mammogram(kilobytes=900)).Status == 0x0000
    assert len(node.received) == 1
    assert list(node.store.incoming.iterdir()) == []


def test_a_peer_that_sends_too_fast_waits_for_its_answers(listen: Callable, connect: Callable, mammogram: Callable[..., Dataset]) -> None:
    """Its objects are taken no faster than the settings allow, and none is refused."""
    node = listen(objects_per_second=5.0)
    association, data = connect(node.port), mammogram(kilobytes=1)
    began = time.monotonic()
    assert [association.send_c_store(data).Status for _ in range(9)] == [0x0000] * 9
    # Five may come at once, the others one by one.
    assert time.monotonic() - began >= (9 - 5) / 5


def test_a_message_that_does_not_end_is_cut_off(listen: Callable, wait_until: Callable) -> None:
    """A sender that keeps sending small pieces, never silent for long, is aborted after the time that a message may take."""
    node = listen(dimse_timeout_seconds=1.0)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", node.port), timeout=0.05) as connection:
        connection.sendall(pdu(1, request()))
        wait_until(lambda: heard(connection)[:1] == bytes([A_ASSOCIATE_AC]))
        connection.sendall(pdu(4, pdv(command_set(), command=True)))

        def is_cut_off() -> bool:
            connection.sendall(pdu(4, pdv(b"ab", command=False, last=False)))
            return heard(connection)[:1] == bytes([A_ABORT])

        wait_until(is_cut_off)
    assert time.monotonic() - began > 0.9
    wait_until(lambda: not list(node.store.incoming.iterdir()))


def heard(connection: socket.socket) -> bytes:
    """What has come, if anything."""
    try:
        return connection.recv(1000)
    except TimeoutError:
        return b""


@pytest.mark.parametrize("said", [b"", b"\x01", pdu(1, request())[:50]])
def test_who_asks_for_nothing_is_disconnected_after_the_artim_time(said: bytes, listen: Callable) -> None:
    """A connection without an association request, or with a part of one, ends when the timer does, not before."""
    node = listen(artim_timeout_seconds=1.0)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", node.port), timeout=20) as silent:
        silent.sendall(said)
        assert silent.recv(100)[:1] in (b"", b"\x07")
    assert 0.9 < time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ('peers=[{ae_title="A", host="10.1.2.300"}]', "an IP address, or a network"),
        ('peers=[{ae_title="A", host="10.1.2.0/33"}]', "an IP address, or a network"),
        ('peers=[{ae_title="A", host="two words"}]', "the name of a host"),
        ('peers=[{ae_title="SEVENTEEN_LETTERS"}]', "1 to 16"),
        ('host="10.0.0.0/8"', "one address of this machine"),
        ('balancers=["balancer.hospital"]', "an IP address, or a network"),
        ("processes=0", "greater than or equal to 1"),
        ("max_associations_per_peer=0", "greater than or equal to 1"),
        ("object_megabytes=0", "greater than or equal to 1"),
        ("associations_per_second=-1", "greater than or equal to 0"),
        ("objects_per_second=inf", "finite number"),
        ("artim_timeout_seconds=0", "greater than 0"),
        ("drain_seconds=60", "less than or equal to 30"),
        ('tls={certificate_file="node.pem"}', "Field required"),
        ('tls={certificate_file="node.pem", key_file="node.key", minimum_version="1.1"}', "'1.2' or '1.3'"),
    ],
)
def test_nonsense_is_refused_with_what_was_expected(option: str, expected: str) -> None:
    """A setting of reception that cannot be meant is an error that says what can."""
    with pytest.raises(WrongSetting, match=expected):
        load(None, [f"reception.{option}"])
