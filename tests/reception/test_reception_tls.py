"""TLS: only versions and ciphers of BCP 195, certificates where they are asked for, and no caller that keeps others waiting."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.certificates import Certificates, make_certificates

from dosremc_node.errors import TlsUnusable
from dosremc_node.settings import ListenerTls, Peer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def tls_of(made: Certificates, name: str = "server", *, clients: bool = False, **more: str) -> ListenerTls:
    return ListenerTls(
        certificate_file=made.certificate(name), key_file=made.key(name), ca_file=made.authority if clients else None, **more
    )


def s_client(port: int, *arguments: str | Path) -> str:
    """What OpenSSL's client says of a handshake."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *map(str, arguments)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
    return ended.stdout + ended.stderr


def dcmtk_arguments(made: Certificates, client: str | None) -> list[str | Path]:
    trust: list[str | Path] = ["+cf", made.authority]
    return ["+tls", made.key(client), made.certificate(client), *trust] if client else ["+tla", *trust]


def stores(dcmtk: Callable[[str], str], port: int, made: Certificates, client: str | None, path: Path) -> bool:
    command = [dcmtk("storescu"), *dcmtk_arguments(made, client), "-aec", "DOSREMC", "127.0.0.1", str(port), path]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0


def test_a_sender_stores_over_tls(
    listen: Callable, dcmtk: Callable[[str], str], certificates: Certificates, mammogram_file: Callable[..., Path]
) -> None:
    """DCMTK stores an image over TLS, whole, and a client without TLS gets nowhere."""
    node = listen(tls=tls_of(certificates))
    path = mammogram_file(kilobytes=4000)
    assert stores(dcmtk, node.port, certificates, None, path)
    assert len(node.received) == 1
    assert node.content()[-4096_000:] == path.read_bytes()[-4096_000:]
    plain = [dcmtk("echoscu"), "-aec", "DOSREMC", "127.0.0.1", str(node.port)]
    assert subprocess.run(plain, check=False, capture_output=True, timeout=60).returncode != 0


def test_only_clients_with_our_authoritys_certificate_get_in(
    listen: Callable, dcmtk: Callable[[str], str], certificates: Certificates, mammogram_file: Callable[..., Path]
) -> None:
    """Where client certificates are asked for, one of the authority is let in, a stranger's and none are not."""
    node = listen(tls=tls_of(certificates, clients=True))
    path = mammogram_file()
    assert stores(dcmtk, node.port, certificates, "client", path)
    assert not stores(dcmtk, node.port, certificates, "stranger", path)
    assert not stores(dcmtk, node.port, certificates, None, path)
    assert len(node.received) == 1


def test_a_certificate_does_not_replace_the_ae_title(
    listen: Callable, dcmtk: Callable[[str], str], certificates: Certificates, mammogram_file: Callable[..., Path]
) -> None:
    """Who has a certificate but is not among the peers is rejected."""
    node = listen(tls=tls_of(certificates, clients=True), peers=(Peer(ae_title="UNIT1"),))
    assert not stores(dcmtk, node.port, certificates, "client", mammogram_file())


@pytest.mark.parametrize(
    ("arguments", "agreed"),
    [
        (("-tls1_3",), "TLSv1.3"),
        (("-tls1_2",), "TLSv1.2"),
        (("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"), "ECDHE-RSA-AES256-GCM-SHA384"),
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), None),
        (("-tls1_2", "-cipher", "AES128-SHA"), None),
        (("-tls1_2", "-cipher", "AES256-GCM-SHA384"), None),
        (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"), None),
        (("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"), None),
        (("-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"), None),
    ],
)
def test_only_versions_and_ciphers_of_bcp_195(
    listen: Callable, certificates: Certificates, arguments: tuple[str, ...], agreed: str | None
) -> None:
    """TLS 1.2 and 1.3 with forward secrecy and authenticated encryption are spoken, nothing else (RFC 9325 4.2)."""
    answer = s_client(listen(tls=tls_of(certificates)).port, *arguments)
    assert ("BEGIN CERTIFICATE" in answer) is (agreed is not None)
    assert agreed is None or agreed in answer


def test_tls_1_2_can_be_shut_out(listen: Callable, certificates: Certificates) -> None:
    """With a minimum version of 1.3 a client of 1.2 gets no handshake."""
    port = listen(tls=tls_of(certificates, minimum_version="1.3")).port
    assert "BEGIN CERTIFICATE" not in s_client(port, "-tls1_2")
    assert "TLSv1.3" in s_client(port, "-tls1_3")


def test_silent_clients_keep_nobody_waiting(
    listen: Callable,
    dcmtk: Callable[[str], str],
    certificates: Certificates,
    mammogram_file: Callable[..., Path],
) -> None:
    """Twenty clients that connect and say nothing, or half a handshake, stall no other, and are gone after the ARTIM time."""
    node = listen(tls=tls_of(certificates), artim_timeout_seconds=4.0)
    silent = [socket.create_connection(("127.0.0.1", node.port), timeout=20) for _ in range(20)]
    for connection in silent[::2]:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")
    assert stores(dcmtk, node.port, certificates, None, mammogram_file())
    # All of them are still there: it was not their end that let the other in.
    for connection in silent:
        connection.settimeout(0)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        connection.settimeout(20)
    for connection in silent:
        with connection:
            assert connection.recv(1) == b""


def subject(port: int) -> str:
    answer = s_client(port)
    return answer[answer.index("subject=") :].splitlines()[0]


def test_a_new_certificate_needs_no_restart(listen: Callable, certificates: Certificates, tmp_path: Path) -> None:
    """A replaced certificate is shown to the next caller; between its two files being written the old one serves on."""
    for kind in ("pem", "key"):
        shutil.copy(certificates.folder / f"server.{kind}", tmp_path / f"node.{kind}")
    node = listen(tls=ListenerTls(certificate_file=tmp_path / "node.pem", key_file=tmp_path / "node.key"))
    assert "server" in subject(node.port)
    shutil.copy(certificates.certificate("elsewhere"), tmp_path / "node.pem")
    assert "server" in subject(node.port)
    shutil.copy(certificates.key("elsewhere"), tmp_path / "node.key")
    assert "elsewhere" in subject(node.port)
    (tmp_path / "node.pem").unlink()
    assert "elsewhere" in subject(node.port)


def test_files_that_cannot_be_used_are_told_at_the_start(listen: Callable, certificates: Certificates, tmp_path: Path) -> None:
    """A missing file, a key of another certificate, and one that needs a password are errors, not questions."""
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", certificates.key("server"), "-aes256", "-passout", "pass:secret", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    for key in (tmp_path / "none.key", certificates.key("client"), locked):
        with pytest.raises(TlsUnusable):
            listen(tls=ListenerTls(certificate_file=certificates.certificate("server"), key_file=key))


def test_a_handshake_that_comes_in_drops_ends_by_its_deadline(listen: Callable, certificates: Certificates) -> None:
    """Bytes now and then do not lengthen the time that a handshake has."""
    node = listen(tls=tls_of(certificates), artim_timeout_seconds=1.0)
    hello, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(hello, out, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    content = out.read()
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        connection.settimeout(0.1)
        for byte in content:
            try:
                connection.sendall(bytes([byte]))
                answer = connection.recv(1)
            except TimeoutError:
                continue
            except OSError:
                answer = b""
            assert answer == b""
            return
    pytest.fail("it was heard to its end")
