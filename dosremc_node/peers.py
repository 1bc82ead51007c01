"""Peers that we call by DICOM: how TLS is spoken to them, and why no connection came about."""

from __future__ import annotations

import socket
import ssl

from dosremc_node.errors import PeerUnreachable, TlsUnusable
from dosremc_node.settings import Destination
from dosremc_node.tls import client_context


def tls_context(peer: Destination) -> ssl.SSLContext | None:
    """How TLS is spoken to a peer, None where it is not; raises `TlsUnusable`. Made anew each time: certificates are renewed on the disk."""
    tls = peer.tls
    if tls is None:
        return None
    try:
        return client_context(
            tls.ca_file,
            tls.certificate_file,
            tls.key_file,
            minimum_version=tls.minimum_version,
            check_host_name=tls.check_host_name,
        )
    except OSError as error:
        raise TlsUnusable(peer=peer.name, why=error.strerror or type(error).__name__) from None


def connection_problem(peer: Destination) -> str | None:
    """Why no connection to a peer is possible, found by trying it, because pynetdicom only logs it; None where one is. Raises `TlsUnusable`."""
    try:
        with socket.create_connection((peer.host, peer.port), timeout=peer.timeout_seconds) as connection:
            if context := tls_context(peer):
                context.wrap_socket(connection, server_hostname=peer.host).close()
            return None
    except ssl.SSLCertVerificationError as error:
        return f"its TLS certificate is not trusted ({error.verify_message})"
    except ssl.SSLError as error:
        return f"TLS could not be agreed on ({error.reason})"
    except socket.gaierror:
        return "its host name is unknown"
    except TimeoutError:
        return f"no connection within {peer.timeout_seconds:g} s"
    except OSError as error:
        return error.strerror or type(error).__name__


def unreachable(peer: Destination, why: str) -> PeerUnreachable:
    return PeerUnreachable(peer=peer.name, host=peer.host, port=peer.port, ae_title=peer.ae_title, why=why)
