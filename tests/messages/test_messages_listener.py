"""The MLLP listener over the wire: framing, limits, TLS, and senders that are slow, silent or not ours."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from harness.messages import Sender, fields, merge, message, update
from sqlalchemy import text

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.demographics import list_changes
from dosremc_node.messages import Answering, MessageListener
from dosremc_node.settings import ListenerTls, MessageSettings
from dosremc_node.tls import client_context

Listen = Callable[..., MessageListener]
Connect = Callable[[MessageListener], Sender]


def test_messages_are_answered_one_after_the_other(listen: Listen, connect: Connect, ledger: Ledger) -> None:
    """A connection stays open; each message on it has its answer, in its order, and is in the ledger by then."""
    sender = connect(listen())
    for number in ("1", "2", "3"):
        assert fields(sender.send(update(control_id=number)))[1:] == ["AA", number]
        assert len(list_changes(ledger)) == int(number)


def test_blocks_may_come_in_any_pieces(listen: Listen, connect: Connect) -> None:
    """Byte by byte, two in one segment, with line feeds between them and without the last CR: each is answered."""
    sender = connect(listen())
    for byte in b"\x0b" + update(control_id="1") + b"\x1c\r":
        sender.connection.sendall(bytes([byte]))
    sender.connection.sendall(b"\r\n\x0b" + update(control_id="2") + b"\x1c\x0b" + update(control_id="3") + b"\x1c\n")
    assert [fields(sender.answer())[2] for _ in range(3)] == ["1", "2", "3"]


def test_a_sender_that_begins_anew_in_mid_message_is_understood(listen: Listen, connect: Connect, ledger: Ledger) -> None:
    """What was broken off is not taken for the beginning of the next message."""
    sender = connect(listen())
    sender.connection.sendall(b"\x0b" + update(control_id="1")[:70])
    assert fields(sender.send(update(control_id="2")))[1:] == ["AA", "2"]
    assert len(list_changes(ledger)) == 1


def test_a_message_that_is_broken_off_leaves_nothing(listen: Listen, connect: Connect, ledger: Ledger) -> None:
    """Half a message is none: the sender has no answer and sends it again."""
    listener = listen()
    broken = connect(listener)
    broken.connection.sendall(b"\x0b" + update()[:-5])
    broken.connection.shutdown(socket.SHUT_WR)
    assert broken.answer() == b""
    assert list_changes(ledger) == []
    assert fields(connect(listener).send(update()))[1] == "AA"


def test_a_message_that_is_too_long_is_refused_and_the_node_lives(listen: Listen, connect: Connect) -> None:
    """AR under its control ID, the connection is closed, and the next one is served."""
    listener = listen(max_megabytes=1)
    sender = connect(listener)
    sender.connection.sendall(b"\x0b" + update(control_id="BIG") + b"OBX|" + b"x" * (1 << 20))
    answer = sender.answer()
    assert (fields(answer)[1:], fields(answer, "ERR")[3][:3]) == (["AR", "BIG"], "207")
    assert fields(connect(listener).send(update()))[1] == "AA"


def test_endless_noise_is_hung_up_on(listen: Listen, connect: Connect) -> None:
    """Whoever never begins a message does not fill the memory."""
    sender = connect(listen(max_megabytes=1))
    with pytest.raises(OSError, match=r"(?i)reset|pipe"):  # noqa: PT012 - which of them notices is the kernel's choice
        for _ in range(200):
            sender.connection.sendall(b"x" * 65536)
        sender.connection.sendall(b"x")


def test_a_silent_and_a_slow_sender_hold_up_nobody_and_are_hung_up_on(listen: Listen, connect: Connect) -> None:
    """One that says nothing, and one that never ends, are closed in time; a third is answered at once."""
    listener = listen(idle_seconds=1.0, message_seconds=1.0)
    silent, slow = connect(listener), connect(listener)
    slow.connection.sendall(b"\x0bMSH|")
    assert fields(connect(listener).send(update()))[1] == "AA"
    assert (silent.answer(), slow.answer()) == (b"", b"")


def test_who_is_not_among_the_senders_is_hung_up_on(listen: Listen, connect: Connect, ledger: Ledger) -> None:
    """An address that the settings do not name is not even read; networks name many."""
    assert connect(listen(senders=["10.1.2.3"])).answer() == b""
    assert fields(connect(listen(senders=["10.1.2.3", "127.0.0.0/8"])).send(update()))[1] == "AA"
    assert len(list_changes(ledger)) == 1


def test_only_so_many_may_be_connected_and_places_are_given_back(listen: Listen, connect: Connect) -> None:
    """One more than allowed is hung up on; when another leaves there is room again."""
    listener = listen(max_connections=1)
    first = connect(listener)
    assert fields(first.send(update(control_id="1")))[1] == "AA"
    assert connect(listener).answer() == b""
    first.connection.shutdown(socket.SHUT_WR)
    assert first.answer() == b""
    first.close()
    assert any(_is_served(connect(listener)) for _ in range(200))


def _is_served(sender: Sender) -> bool:
    try:
        return bool(sender.send(update(control_id="2")))
    except OSError:
        return False


def test_many_senders_at_once_lose_nothing(listen: Listen, connect: Connect, ledger: Ledger) -> None:
    """What was acknowledged is in the ledger, whoever sent beside it, and the same bytes from two sides once."""
    listener = listen()

    def send_all(number: int) -> list[str]:
        sender = connect(listener)
        contents = [*(update(control_id=f"{number}-{place}") for place in range(10)), merge()]
        return [fields(sender.send(content))[1] for content in contents]

    with ThreadPoolExecutor(6) as threads:
        answers = [code for codes in threads.map(send_all, range(6)) for code in codes]
    assert answers == ["AA"] * 66
    assert len(list_changes(ledger)) == 61
    with ledger.reading() as session:
        assert session.execute(text("SELECT sum(times) FROM message")).scalar_one() == 66


def test_what_is_being_answered_at_the_end_is_answered(listen: Listen, connect: Connect, ledger: Ledger) -> None:
    """A listener that is stopped lets a message that is in the ledger be acknowledged, and then closes."""
    reached, may_go_on = threading.Event(), threading.Event()

    class Slow(Answering):
        def answer(self, content: bytes, peer_address: str) -> Sequence[bytes]:
            answers = super().answer(content, peer_address)
            reached.set()
            may_go_on.wait(20)
            return answers

    listener = listen(answering=Slow(ledger, MessageSettings()))
    sender = connect(listener)
    sender.connection.sendall(b"\x0b" + update() + b"\x1c\r")
    reached.wait(20)
    stopping = threading.Thread(target=listener.stop, args=(20.0,))
    stopping.start()
    may_go_on.set()
    assert fields(sender.answer())[1] == "AA"
    stopping.join()
    assert sender.answer() == b""


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate of its own authority for ``localhost``: ``node.pem`` and ``node.key``."""
    return own_certificate(tmp_path_factory.mktemp("certificates"))


def own_certificate(folder: Path) -> Path:
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", folder / "node.key", "-out", folder / "node.pem"], check=True, capture_output=True)
    return folder


def tls_of(certificates: Path, **more: object) -> ListenerTls:
    return ListenerTls(certificate_file=certificates / "node.pem", key_file=certificates / "node.key", **more)


@contextmanager
def over_tls(listener: MessageListener, certificates: Path, *, with_certificate: bool) -> Iterator[Sender]:
    own = (certificates / "node.pem", certificates / "node.key") if with_certificate else (None, None)
    context = client_context(certificates / "node.pem", *own, minimum_version="1.2", check_host_name=True)
    plain = socket.create_connection(("127.0.0.1", listener.port), timeout=20)
    with context.wrap_socket(plain, server_hostname="localhost") as secured:
        yield Sender(listener.port, secured)


def test_over_tls_only_senders_with_a_certificate_are_heard(listen: Listen, connect: Connect, certificates: Path, ledger: Ledger) -> None:
    """With an authority in the settings a sender must have its certificate; one that is silent holds up no other."""
    listener = listen(tls=tls_of(certificates, ca_file=certificates / "node.pem"))
    connect(listener)  # says nothing at all, not even hello
    with over_tls(listener, certificates, with_certificate=True) as sender:
        assert fields(sender.send(update()))[1] == "AA"
    with (
        pytest.raises(OSError, match=r"(?i)certificate|reset|eof|pipe"),
        over_tls(listener, certificates, with_certificate=False) as stranger,
    ):
        stranger.send(update(control_id="2"))
    plain = connect(listener)
    plain.connection.sendall(b"\x0b" + update(control_id="3") + b"\x1c\r")
    assert b"MSA" not in _all_that_comes(plain.connection)
    assert len(list_changes(ledger)) == 1


def test_a_renewed_certificate_needs_no_restart(listen: Listen, tmp_path: Path) -> None:
    """The next sender is shown the new one; who trusts the old one alone is no longer served."""
    own_certificate(tmp_path)
    listener = listen(tls=tls_of(tmp_path))
    (old := tmp_path / "old").mkdir()
    shutil.copy(tmp_path / "node.pem", old / "node.pem")
    own_certificate(tmp_path)
    with over_tls(listener, tmp_path, with_certificate=False) as sender:
        assert fields(sender.send(update()))[1] == "AA"
    with pytest.raises(ssl.SSLCertVerificationError), over_tls(listener, old, with_certificate=False):
        pass


def test_a_listener_that_stops_hangs_up_on_tls_too(listen: Listen, certificates: Path) -> None:
    """A sender that is connected and silent hears of it at once: it need not wait until it has something to send."""
    listener = listen(tls=tls_of(certificates))
    with over_tls(listener, certificates, with_certificate=False) as sender:
        assert fields(sender.send(update()))[1] == "AA"
        listener.stop(grace_seconds=5)
        with suppress(ssl.SSLError):  # it may hear of it by an alert
            assert sender.answer() == b""


def test_old_tls_is_not_spoken(listen: Listen, certificates: Path) -> None:
    """BCP 195: nothing below 1.2, and nothing below 1.3 where the settings say so."""
    listener = listen(tls=tls_of(certificates, minimum_version="1.3"))
    context = ssl.create_default_context(cafile=str(certificates / "node.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")
    with over_tls(listener, certificates, with_certificate=False) as sender:
        assert fields(sender.send(message("ADT^A08")))[1] == "AE"


def _all_that_comes(connection: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(4096):
            received += chunk
    except OSError:
        pass
    return received
