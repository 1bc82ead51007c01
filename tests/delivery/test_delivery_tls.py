"""TLS to a PACS: whom we trust, who we are, which versions, and that all of delivery goes through it."""

from __future__ import annotations

import gc
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Certificates, make_certificates

from dosremc_node.delivery import echo, send
from dosremc_node.errors import PeerUnreachable, TlsUnusable
from dosremc_node.records import DeliveryOutcome, Document
from dosremc_node.reporting import rendition
from dosremc_node.settings import DestinationTls, TlsVersion

# pynetdicom drops the socket of a connection that failed without closing it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <(socket|ssl):ResourceWarning")


@contextmanager
def tls_listener(context: ssl.SSLContext) -> Iterator[int]:
    """A server that speaks TLS and nothing more, on the port that it gives: no association can come about, and nothing can arrive."""

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("OpenSSL is not installed")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def server_context(
    certificates: Certificates, name: str = "server", *, asks: bool = False, newest: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate(name), certificates.key(name))
    if asks:
        context.load_verify_locations(certificates.authority)
        context.verify_mode = ssl.CERT_REQUIRED
    if newest:
        context.maximum_version = newest
    return context


def tls(certificates: Certificates, **changes: Any) -> DestinationTls:
    return DestinationTls(**{"ca_file": certificates.authority, **changes})


def as_client(certificates: Certificates, name: str = "client") -> dict[str, Path]:
    return {"certificate_file": certificates.certificate(name), "key_file": certificates.key(name)}


def test_duplicate_is_verified_by_c_find_under_tls(
    certificates: Certificates, start_scp: Callable[..., Any], a_document: Callable[..., Document]
) -> None:
    """Promise 4 holds under TLS: 0x0111 is believed once the PACS, asked over TLS, has the document."""
    scp = start_scp(tls=server_context(certificates, asks=True))
    destination = scp.destination(tls=tls(certificates, **as_client(certificates)))
    echo(destination, "NODE")
    (result,) = send(destination, "NODE", [a_document(1)], rendition)
    assert result.outcome is DeliveryOutcome.DELIVERED
    scp.status = 0x0111
    (result,) = send(destination, "NODE", [a_document(1)], rendition)
    assert (result.outcome, result.status) == (DeliveryOutcome.DELIVERED, 0x0111)


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("stranger", {}, "not trusted"),
        ("elsewhere", {}, "not trusted.*IP address mismatch"),
        ("server", {"minimum_version": TlsVersion.TLS_1_3}, "TLS could not be agreed on"),
    ],
    ids=["unknown authority", "another host's certificate", "an old version"],
)
def test_peer_that_is_not_who_it_should_be_gets_nothing(
    certificates: Certificates,
    start_scp: Callable[..., Any],
    a_document: Callable[..., Document],
    *,
    name: str,
    settings: dict[str, Any],
    why: str,
) -> None:
    """No document leaves for a peer that cannot be trusted; the words say what is wrong, and a renewed certificate mends it."""
    with tls_listener(server_context(certificates, name, newest=ssl.TLSVersion.TLSv1_2)) as port:
        destination = start_scp().destination(port=port, tls=tls(certificates, **settings))
        (result,) = send(destination, "NODE", [a_document(1)], rendition)
        assert result.outcome is DeliveryOutcome.RETRY
        with pytest.raises(PeerUnreachable, match=why):
            echo(destination, "NODE")
    gc.collect()  # pynetdicom's sockets, while the warning about them is ignored


def test_host_name_is_not_checked_where_the_settings_say_so(
    certificates: Certificates, start_scp: Callable[..., Any], a_document: Callable[..., Document]
) -> None:
    """A PACS whose certificate names another host is still one of the authority's."""
    scp = start_scp(tls=server_context(certificates, "elsewhere"))
    (result,) = send(scp.destination(tls=tls(certificates, check_host_name=False)), "NODE", [a_document(1)], rendition)
    assert result.outcome is DeliveryOutcome.DELIVERED


def test_certificate_file_that_is_not_there_is_named(certificates: Certificates, start_scp: Callable[..., Any]) -> None:
    """A wrong path is a sentence for the administrator."""
    with pytest.raises(TlsUnusable, match=r"pacs.*No such file"):
        echo(start_scp().destination(tls=tls(certificates, ca_file=Path("nowhere.pem"))), "NODE")


def test_encrypted_key_is_an_error_and_no_question(
    tmp_path: Path, certificates: Certificates, start_scp: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """Nobody sits at the terminal of a worker."""
    encrypted = tmp_path / "encrypted.key"
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", certificates.key("client"), "-out", encrypted]
    subprocess.run(command, check=True, capture_output=True)
    capfd.readouterr()
    with pytest.raises(TlsUnusable):
        echo(start_scp().destination(tls=tls(certificates, **{**as_client(certificates), "key_file": encrypted})), "NODE")
    assert capfd.readouterr().err == ""


@pytest.fixture
def tls_storescp(tmp_path: Path, free_port: int, certificates: Certificates, dcmtk: Callable[[str], str]) -> Iterator[tuple[int, Path]]:
    """DCMTK's storage SCP, which speaks TLS only, and only with who shows a certificate."""
    received = tmp_path / "received"
    received.mkdir()
    secure = ["+tls", certificates.key("server"), certificates.certificate("server"), "+cf", certificates.authority, "-rc"]
    command = [dcmtk("storescp"), *secure, "--bit-preserving", "-od", received, str(free_port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", free_port)) == 0:
                    break
            time.sleep(0.02)
        yield free_port, received
        process.terminate()


def test_dcmtk_takes_documents_over_tls(
    tls_storescp: tuple[int, Path], certificates: Certificates, start_scp: Callable[..., Any], a_document: Callable[..., Document]
) -> None:
    """A TLS peer that nobody here wrote: it asks for our certificate, and stores the kept bytes."""
    port, received = tls_storescp
    ours = start_scp().destination(port=port, tls=tls(certificates, **as_client(certificates)))
    document = a_document(1)
    (result,) = send(ours, "NODE", [document], rendition)
    assert result.outcome is DeliveryOutcome.DELIVERED, result.comment
    (path,) = received.iterdir()
    assert path.read_bytes()[-200:] == document.content[-200:]
