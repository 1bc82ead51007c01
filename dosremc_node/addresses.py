"""Whether an address is one that the settings name: as an address, a network such as 10.1.2.0/24, or a host's name."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def ip(address: str) -> Address:
    """An address; an IPv4 one that came in IPv6's clothes is an IPv4 one. Raises `ValueError`."""
    found = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    return getattr(found, "ipv4_mapped", None) or found


def is_at(host: str, address: Address) -> bool:
    """Whether the address is what the settings call ``host``."""
    try:
        return address in ipaddress.ip_network(host, strict=False)
    except ValueError:
        return address in _resolved(host)


def is_among(hosts: Iterable[str], address: str) -> bool:
    """Whether the address is one of ``hosts``. Without any, this machine is the only one."""
    hosts = tuple(hosts)
    return any(is_at(host, ip(address)) for host in hosts) if hosts else ip(address).is_loopback


def _resolved(name: str) -> set[Address]:
    # Asked anew each time, because hosts on DHCP move; a name that cannot be resolved is nobody's.
    try:
        return {ip(str(entry[4][0])) for entry in socket.getaddrinfo(name, None)}
    except OSError:
        return set()
