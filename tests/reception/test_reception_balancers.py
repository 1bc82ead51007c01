"""Behind a TCP load balancer: who calls is known by its true address, and nobody else may claim one (PROXY protocol 1 and 2)."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dosremc_node.errors import NoProxyHeader
from dosremc_node.reception.proxy_protocol import true_address
from dosremc_node.settings import Peer

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
A_ABORT, A_ASSOCIATE_AC, A_ASSOCIATE_RJ = 7, 2, 3


def version_1(address: IPv4Address | IPv6Address, port: int = 40000) -> bytes:
    return f"PROXY TCP{address.version} {address} {address} {port} 104\r\n".encode()


def version_2(address: IPv4Address | IPv6Address, port: int = 40000, more: bytes = b"") -> bytes:
    content = address.packed * 2 + struct.pack(">HH", port, 104) + more
    return SIGNATURE + bytes([0x21, 0x11 if address.version == 4 else 0x21]) + struct.pack(">H", len(content)) + content


HEADERS = [version_1, version_2]


@contextmanager
def balanced(port: int, header: bytes) -> Iterator[int]:
    """A balancer before that port: the port it listens on. It puts ``header`` before what it passes on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_balance, args=(listening, port, header), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
    thread.join(timeout=10)


def _balance(listening: socket.socket, port: int, header: bytes) -> None:
    client, _ = listening.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as node:
        node.sendall(header)
        back = threading.Thread(target=_pass_on, args=(node, client), daemon=True)
        back.start()
        _pass_on(client, node)
        back.join(timeout=10)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.mark.parametrize("header", HEADERS)
def test_a_peer_is_known_by_its_true_address(
    listen: Callable, connect: Callable, mammogram: Callable[..., Dataset], header: Callable[..., bytes]
) -> None:
    """Through a balancer a peer is admitted from its own address, which is recorded, and from no other."""
    node = listen(balancers=("127.0.0.0/8",), peers=(Peer(ae_title="UNIT1", host="192.0.2.7"),))
    with balanced(node.port, header(ip_address("192.0.2.7"))) as port:
        association = connect(port, calling="UNIT1")
        assert association.send_c_store(mammogram()).Status == 0x0000
        association.release()
    assert [received.peer_address for received in node.received] == ["192.0.2.7"]
    with balanced(node.port, header(ip_address("192.0.2.8"))) as port:
        assert connect(port, calling="UNIT1").is_rejected


def first_answer(port: int, content: bytes) -> bytes:
    """What comes back, until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(content)
        answer = b""
        while piece := connection.recv(1000):
            answer += piece
        return answer


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_from_anybody_else_is_an_abort(listen: Callable, header: Callable[..., bytes]) -> None:
    """Who is no balancer and says where it comes from gets an A-ABORT and is cut off."""
    node = listen()
    assert first_answer(node.port, header(ip_address("127.0.0.1")))[0] == A_ABORT


def test_a_balancer_without_a_header_is_an_abort(listen: Callable, connect: Callable) -> None:
    """Without its header a balancer's connection comes from nobody knows where."""
    node = listen(balancers=("127.0.0.1",))
    assert connect(node.port).is_established is False
    assert first_answer(node.port, b"\x01\x00\x00\x00\x00\x44" + bytes(68))[0] == A_ABORT


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\x00\x00"], ids=["version 1", "version 2"])
def test_a_balancers_own_check_comes_from_the_balancer(listen: Callable, connect: Callable, header: bytes) -> None:
    """A health check, which tells no address, is taken as the balancer's own connection."""
    node = listen(balancers=("127.0.0.1",))
    with balanced(node.port, header) as port:
        association = connect(port)
        assert association.is_established
        association.release()


def test_a_silent_balancer_is_cut_off_and_keeps_nobody_waiting(
    listen: Callable, connect: Callable, association_threads: Callable, wait_until: Callable
) -> None:
    """While a connection of a balancer says nothing others are served, and after the ARTIM time it is gone."""
    node = listen(balancers=("127.0.0.1",), artim_timeout_seconds=1.0)
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as silent:
        with balanced(node.port, version_1(ip_address("127.0.0.1"))) as port:
            association = connect(port)
            assert association.is_established
            association.release()
        assert silent.recv(100) == b""
    wait_until(lambda: not association_threads())


def told(content: bytes, *, closed: bool = True) -> tuple[tuple[str, int] | None, bytes]:
    """What the header tells, and what is left to be read after it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(content)
        if closed:
            theirs.shutdown(socket.SHUT_WR)
        found = true_address(ours, time.monotonic() + 5)
        ours.settimeout(5)
        return found, ours.recv(1000)


@settings(deadline=None)
@given(address=st.ip_addresses(), port=st.integers(0, 65535), header=st.sampled_from(HEADERS), more=st.binary(max_size=50))
def test_every_address_is_read_and_nothing_behind_it(
    address: IPv4Address | IPv6Address, port: int, header: Callable[..., bytes], more: bytes
) -> None:
    """Any address and port come back as they were written, and the peer's first bytes stay where they are."""
    assert told(header(address, port) + b"A-ASSOCIATE-RQ" + more) == ((str(address), port), b"A-ASSOCIATE-RQ" + more)


def test_further_fields_of_version_2_are_passed_over() -> None:
    """Type-length-value fields after the addresses are read and dropped."""
    assert told(version_2(ip_address("192.0.2.7"), more=bytes(100)) + b"next") == (("192.0.2.7", 40000), b"next")


@settings(deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=200).map(lambda rest: SIGNATURE + rest),
        st.binary(max_size=200).map(lambda rest: b"PROXY TCP4 " + rest),
    )
)
def test_no_header_is_made_of_anything_else(content: bytes) -> None:
    """Whatever comes, the answer is an address, nothing, or the error that says there is none."""
    try:
        found, _ = told(content)
    except NoProxyHeader:
        return
    assert found is None or ip_address(found[0])
