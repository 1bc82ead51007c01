"""Where a connection that came through a TCP load balancer really comes from: the PROXY protocol, versions 1 and 2.

The balancer puts a header before the first byte of the peer's
(https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
"""

from __future__ import annotations

import ipaddress
import socket
import time

from dosremc_node.errors import NoProxyHeader

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LONGEST_LINE = 107
_LONGEST_ADDRESSES = 4096
_LOCAL, _PROXY = 0x20, 0x21
_TCP_OVER_IPV4, _TCP_OVER_IPV6 = 0x11, 0x21


def true_address(connection: socket.socket, deadline: float) -> tuple[str, int] | None:
    """Address and port that the header tells; None where the balancer speaks for itself, as its health checks do.

    Exactly the header is read. Raises `NoProxyHeader` where it is none, `OSError` where it is not there by ``deadline``, a
    `time.monotonic`.
    """
    beginning = _read(connection, len(_SIGNATURE), deadline)
    if beginning == _SIGNATURE:
        return _version_2(connection, deadline)
    if beginning.startswith(b"PROXY "):
        return _version_1(beginning + _rest_of_line(connection, len(beginning), deadline))
    raise NoProxyHeader(why="it begins otherwise")


def _rest_of_line(connection: socket.socket, length: int, deadline: float) -> bytes:
    rest = b""
    while not rest.endswith(b"\r\n"):
        if length + len(rest) >= _LONGEST_LINE:
            raise NoProxyHeader(why="its line is too long")
        rest += _read(connection, 1, deadline)
    return rest


def _version_1(line: bytes) -> tuple[str, int] | None:
    words = line.removesuffix(b"\r\n").decode("ascii", "replace").split(" ")
    if words[1] == "UNKNOWN":
        return None
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise NoProxyHeader(why="its line has another form")
    try:
        kind = ipaddress.IPv4Address if words[1] == "TCP4" else ipaddress.IPv6Address
        return str(kind(words[2])), int(words[4])
    except ValueError:
        raise NoProxyHeader(why="it tells no address") from None


def _version_2(connection: socket.socket, deadline: float) -> tuple[str, int] | None:
    command, family, high, low = _read(connection, 4, deadline)
    length = high << 8 | low
    if command not in (_LOCAL, _PROXY) or length > _LONGEST_ADDRESSES:
        raise NoProxyHeader(why="its command or its length is wrong")
    addresses = _read(connection, length, deadline)
    if command == _LOCAL:
        return None
    width = {_TCP_OVER_IPV4: 4, _TCP_OVER_IPV6: 16}.get(family)
    if width is None or length < 2 * width + 4:
        raise NoProxyHeader(why="it tells no address of TCP over IP")
    return str(ipaddress.ip_address(addresses[:width])), int.from_bytes(addresses[2 * width : 2 * width + 2])


def _read(connection: socket.socket, length: int, deadline: float) -> bytes:
    content = b""
    while len(content) < length:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the header does not come")
        connection.settimeout(left)
        piece = connection.recv(length - len(content))
        if not piece:
            raise NoProxyHeader(why="the connection ended before it")
        content += piece
    return content
