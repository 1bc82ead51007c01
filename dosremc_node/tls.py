"""TLS as a hospital wants it (BCP 195, RFC 9325; DICOM PS3.15 B.12): no version below 1.2, forward secrecy, authenticated encryption."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

BCP_195_CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
"""The cipher suites of TLS 1.2 that RFC 9325 4.2 recommends, as OpenSSL calls them. All suites of TLS 1.3 are fit."""

_NO_QUESTION: Final = ""
"""An encrypted key is an error, not a question on the terminal."""

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def client_context(
    ca_file: Path | None, certificate_file: Path | None, key_file: Path | None, *, minimum_version: str, check_host_name: bool
) -> ssl.SSLContext:
    """How we speak TLS to a peer, whose certificate must come from ``ca_file``, or from an authority that the system trusts.

    Raises `OSError` (`ssl.SSLError` is one) where a file cannot be used.
    """
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = VERSIONS[minimum_version]
    context.set_ciphers(":".join(BCP_195_CIPHERS))
    context.check_hostname = check_host_name
    if certificate_file:
        context.load_cert_chain(certificate_file, key_file, password=_NO_QUESTION)
    return context


def server_context(certificate_file: Path, key_file: Path, ca_file: Path | None, *, minimum_version: str) -> ssl.SSLContext:
    """How we speak TLS to those who call us; with a ``ca_file`` only to those with a certificate of that authority.

    Raises `OSError` (`ssl.SSLError` is one) where a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[minimum_version]
    context.set_ciphers(":".join(BCP_195_CIPHERS))
    context.load_cert_chain(certificate_file, key_file, password=_NO_QUESTION)
    if ca_file:
        context.load_verify_locations(ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
