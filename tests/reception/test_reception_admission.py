"""Who is let in, and what those who are not are told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from dosremc_node.reception.admission import is_peer
from dosremc_node.settings import Peer


def rejection(association: Association) -> tuple[int, int, int] | None:
    """Result, source and reason of the A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
    if not association.is_rejected:
        return None
    answer = association.acceptor.primitive
    return (answer.result, answer.result_source, answer.diagnostic)


def test_a_wrong_called_ae_title_is_rejected(listen: Callable, connect: Callable) -> None:
    """Who calls somebody else is told so: permanent, service user, called AE title not recognised."""
    assert rejection(connect(listen().port, called="SOMEBODY")) == (1, 1, 7)


def test_any_called_ae_title_is_taken_where_the_settings_say_so(listen: Callable, connect: Callable) -> None:
    """With require_called_ae_title off, the called AE title does not matter."""
    assert connect(listen(require_called_ae_title=False).port, called="SOMEBODY").is_established


def test_an_unknown_calling_ae_title_is_rejected(listen: Callable, connect: Callable, dcmtk: Callable[[str], str]) -> None:
    """With a list of peers nobody else may call: permanent, service user, calling AE title not recognised."""
    node = listen(peers=(Peer(ae_title="UNIT1"),))
    assert rejection(connect(node.port, calling="STRANGER")) == (1, 1, 3)
    assert connect(node.port, calling="UNIT1").is_established
    echo = [dcmtk("echoscu"), "-aet", "STRANGER", "-aec", "DOSREMC", "127.0.0.1", str(node.port)]
    answer = subprocess.run(echo, check=False, capture_output=True, text=True)
    assert "Calling AE Title Not Recognized" in answer.stdout + answer.stderr


def test_a_known_ae_title_from_elsewhere_is_rejected(listen: Callable, connect: Callable) -> None:
    """The right AE title from another address than the peer's is as good as unknown."""
    node = listen(peers=(Peer(ae_title="UNIT1", host="192.0.2.7"), Peer(ae_title="UNIT2", host="127.0.0.0/8")))
    assert rejection(connect(node.port, calling="UNIT1")) == (1, 1, 3)
    assert connect(node.port, calling="UNIT2").is_established


def test_the_limit_of_associations_holds_and_is_transient(listen: Callable, connect: Callable, wait_until: Callable) -> None:
    """One association too many is rejected as transient, local limit exceeded, and let in once another has ended."""
    node = listen(max_associations=2)
    first, _ = connect(node.port), connect(node.port)
    assert rejection(connect(node.port)) == (2, 3, 2)
    first.release()
    wait_until(lambda: connect(node.port).is_established)


def test_as_many_associations_as_the_settings_allow(listen: Callable, connect: Callable) -> None:
    """Up to the limit of the settings everybody is let in at once."""
    node = listen(max_associations=15)
    opened = [connect(node.port) for _ in range(15)]
    assert all(association.is_established for association in opened)


def test_rejected_callers_take_no_place(listen: Callable, connect: Callable) -> None:
    """However many strangers are turned away, the peers find room."""
    node = listen(max_associations=1, peers=(Peer(ae_title="UNIT1"),))
    for _ in range(5):
        assert rejection(connect(node.port, calling="STRANGER")) == (1, 1, 3)
    assert connect(node.port, calling="UNIT1").is_established


def test_an_identity_that_nobody_asked_for_does_no_harm(listen: Callable, connect: Callable, mammogram: Callable[..., Dataset]) -> None:
    """A sender that offers a user identity is let in like any other."""
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field, identity.secondary_field = 2, b"user", b"password"
    identity.positive_response_requested = True
    association = connect(listen().port, ext_neg=[identity])
    assert association.send_c_store(mammogram()).Status == 0x0000


@pytest.mark.parametrize(
    ("peers", "calling", "address", "expected"),
    [
        ((), "ANY", "127.0.0.1", True),
        ((), "ANY", "127.8.0.1", True),
        ((), "ANY", "::1", True),
        ((), "ANY", "::ffff:127.0.0.1", True),
        ((), "ANY", "192.0.2.1", False),
        ((Peer(ae_title="A"),), "A", "192.0.2.1", True),
        ((Peer(ae_title="A"),), "B", "127.0.0.1", False),
        ((Peer(ae_title="A"),), "A   ", "192.0.2.1", True),
        ((Peer(ae_title="A"),), "a", "192.0.2.1", False),
        ((Peer(ae_title="A", host="192.0.2.1"),), "A", "192.0.2.1", True),
        ((Peer(ae_title="A", host="192.0.2.1"),), "A", "::ffff:192.0.2.1", True),
        ((Peer(ae_title="A", host="192.0.2.0/24"),), "A", "192.0.2.200", True),
        ((Peer(ae_title="A", host="192.0.2.0/24"),), "A", "192.0.3.200", False),
        ((Peer(ae_title="A", host="192.0.2.1"), Peer(ae_title="A", host="192.0.2.2")), "A", "192.0.2.2", True),
        ((Peer(ae_title="A", host="2001:db8::/32"),), "A", "192.0.2.2", False),
        ((Peer(ae_title="A", host="localhost"),), "A", "127.0.0.1", True),
        ((Peer(ae_title="A", host="localhost"),), "A", "192.0.2.1", False),
        ((Peer(ae_title="A", host="no-such-host.invalid"),), "A", "127.0.0.1", False),
    ],
)
def test_peers_are_known_by_ae_title_and_address(peers: tuple[Peer, ...], calling: str, address: str, expected: bool) -> None:
    """AE titles compare exactly but for padding; a host is an address, a network, a name, or anywhere."""
    assert is_peer(peers, calling, address) is expected


@given(address=st.ip_addresses())
def test_without_peers_only_this_machine_may_call(address: IPv4Address | IPv6Address) -> None:
    """On the defaults no address beyond loopback is let in, whichever it is, IPv4 in IPv6 included."""
    number, width = int(address), address.max_prefixlen
    loopback_4 = (number >> 24) == (127 if width == 32 else 0xFFFF << 8 | 127)
    assert is_peer((), "ANY", str(address)) is (loopback_4 or (width == 128 and number == 1))
