"""Senders that break off, lie, or say nothing: the node stays up, forgets them at once, and serves the others."""

from __future__ import annotations

import gc
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_FIND_RQ, C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_FIND, C_STORE
from pynetdicom.pdu_primitives import P_DATA

from dosremc_node.supervision import wait_and_beat

MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"
LONG_AGO = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no paths wanted, only their number


@contextmanager
def no_leaks(threads: Callable[[], list[threading.Thread]], wait_until: Callable) -> Iterator[None]:
    """Within seconds after what happens inside, there are as many threads and descriptors as before, without the collector."""
    gc.collect()
    gc.disable()
    before, open_before = len(threads()), descriptors()
    try:
        yield
        wait_until(lambda: len(threads()) <= before and descriptors() <= open_before)
    finally:
        gc.enable()


def answers_echo(port: int, dcmtk: Callable[[str], str]) -> bool:
    return subprocess.run([dcmtk("echoscu"), "-aec", "DOSREMC", "127.0.0.1", str(port)], check=False).returncode == 0


def test_port_probes_leave_nothing_behind(
    listen: Callable, dcmtk: Callable[[str], str], association_threads: Callable, wait_until: Callable
) -> None:
    """Two hundred probes, closed in three ways, leave neither thread nor descriptor, and do not use up the places."""
    node = listen(max_associations=5)
    assert answers_echo(node.port, dcmtk)
    with no_leaks(association_threads, wait_until):
        for number in range(200):
            with socket.create_connection(("127.0.0.1", node.port)) as probe:
                if number % 3 == 1:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LONG_AGO)
                if number % 3 == 2:
                    probe.sendall(b"GET / HTTP/1.1\r\n\r\n")
            if number % 50 == 0:
                assert answers_echo(node.port, dcmtk)


@pytest.mark.parametrize(
    "pdu",
    [
        b"\x01\x00\xff\xff\xff\xff",
        b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x02\x01\x03",
        b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00",
        b"\x01\x00\x00\x00\x00\x44" + bytes(68),
        b"\x09\x00\x00\x00\x00\x00",
        b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00",
        b"\x01\x00",
    ],
    ids=["4 GiB", "data first", "abort first", "empty request", "unknown type", "release first", "cut off"],
)
def test_broken_pdus_end_their_association_only(
    listen: Callable, dcmtk: Callable[[str], str], association_threads: Callable, wait_until: Callable, pdu: bytes
) -> None:
    """A PDU that is too long, unknown, cut off or out of turn ends that connection, and the next caller is served."""
    node = listen()
    with no_leaks(association_threads, wait_until):
        with socket.create_connection(("127.0.0.1", node.port), timeout=10) as probe:
            probe.sendall(pdu)
            probe.shutdown(socket.SHUT_WR)
            while probe.recv(1000):
                pass
        assert answers_echo(node.port, dcmtk)


def send_half(association: Association, message: DIMSEMessage, primitive: C_FIND | C_STORE) -> None:
    """Send the first half of a message, and nothing more."""
    message.primitive_to_message(primitive)
    fragments = list(message.encode_msg(association.accepted_contexts[0].context_id, 16384))
    for fragment in fragments[: len(fragments) // 2]:
        association.dul.send_pdu(fragment)


def half_an_object(connect: Callable, port: int, wait_until: Callable) -> Association:
    """An association on which the first half of a data set was sent, and nothing since."""
    association = connect(port)
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(MAMMOGRAM), UID("1.2.3")
    request.DataSet = BytesIO(bytes(1 << 20))
    send_half(association, C_STORE_RQ(), request)
    wait_until(association.dul.to_provider_queue.empty)
    return association


def test_a_sender_that_breaks_off_leaves_no_file(
    listen: Callable, connect: Callable, association_threads: Callable, wait_until: Callable
) -> None:
    """An abort, or a lost connection, in the middle of a data set removes what was received of it."""
    node = listen()
    for end in ("abort", "reset"):
        with no_leaks(association_threads, wait_until):
            association = half_an_object(connect, node.port, wait_until)
            wait_until(lambda: list(node.store.incoming.iterdir()))
            if end == "reset":
                association.dul.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LONG_AGO)
                association.dul.socket.close()
            else:
                association.abort()
            wait_until(lambda: not list(node.store.incoming.iterdir()))
    assert node.received == []


def test_senders_that_abort_and_vanish_leave_no_descriptor(
    listen: Callable, connect: Callable, association_threads: Callable, wait_until: Callable
) -> None:
    """An A-ABORT followed by a reset at once does not leave the socket to the garbage collector."""
    node = listen()
    with no_leaks(association_threads, wait_until):
        for _ in range(10):
            connection = connect(node.port).dul.socket.socket
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LONG_AGO)
            connection.sendall(b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00")
            connection.close()


def test_a_silent_sender_is_dropped_while_others_are_served(
    listen: Callable, connect: Callable, association_threads: Callable, wait_until: Callable, mammogram: Callable[..., Dataset]
) -> None:
    """Who stops in the middle of a data set, or of a PDU, is disconnected after the idle time; a good sender is not disturbed."""
    node = listen(idle_timeout_seconds=1.0)
    with no_leaks(association_threads, wait_until):
        half_an_object(connect, node.port, wait_until)
        stuck = half_an_object(connect, node.port, wait_until)
        stuck.dul.socket.socket.sendall(b"\x04\x00\x00\x00\x10\x00half a PDU")
        good = connect(node.port)
        assert good.send_c_store(mammogram()).Status == 0x0000
        good.release()
        wait_until(lambda: not list(node.store.incoming.iterdir()))
    assert len(node.received) == 1


def test_only_objects_may_be_large(listen: Callable, connect: Callable, wait_until: Callable) -> None:
    """A message that is kept in memory, because it is no C-STORE, is cut off long before its end: it aborts its association."""
    association = connect(listen().port)
    request = C_FIND()
    request.MessageID, request.Priority, request.AffectedSOPClassUID = 1, 2, UID(MAMMOGRAM)
    request.Identifier = BytesIO(bytes(5 << 20))
    send_half(association, C_FIND_RQ(), request)
    wait_until(lambda: association.is_aborted)


def test_a_message_that_cannot_be_read_aborts_its_association(
    listen: Callable, connect: Callable, wait_until: Callable, dcmtk: Callable[[str], str]
) -> None:
    """A command set of random bytes ends the association, not the program."""
    node = listen()
    association = connect(node.port)
    fragment = P_DATA()
    fragment.presentation_data_value_list.append([1, b"\x03" + bytes(range(256))])
    association.dul.send_pdu(fragment)
    wait_until(lambda: association.is_aborted)
    assert answers_echo(node.port, dcmtk)


def test_stopping_ends_what_is_open(listen: Callable, connect: Callable, association_threads: Callable, wait_until: Callable) -> None:
    """After stop nobody is connected, no thread is left, and the port is free."""
    node = listen()
    with no_leaks(association_threads, wait_until):
        association = connect(node.port)
        port = node.port
        node.receiver.stop(grace_seconds=0.1)
        wait_until(lambda: association.is_aborted)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_receiver_that_no_longer_listens_ends(listen: Callable, wait_until: Callable) -> None:
    """Its other threads live on, and it would say that it works: its process ends with status 1, so that it is started again."""
    node = listen()
    assert node.receiver.is_listening()
    node.receiver._server.service_actions = sys.exit  # ends the thread that accepts connections, and that one only
    wait_until(lambda: not node.receiver.is_listening())
    assert wait_and_beat(threading.Event(), node.receiver.is_listening) == 1
