"""Decides which addresses may be connected to.

An IPv6 address that contains an IPv4 address is judged by the latter, too: a translator or a tunnel would
connect to it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
MOST = 4  # addresses of one name that are tried: each may take the whole connect timeout

PUBLIC = IPv6Network("2000::/3")  # all global unicast addresses that IANA has assigned
# (network, position of the IPv4 address in the 16 bytes)
HOLDING = (
    (IPv6Network("::/96"), 12),  # IPv4-compatible, RFC 4291 2.5.5.1
    (IPv6Network("::ffff:0:0/96"), 12),  # IPv4-mapped, RFC 4291 2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), 12),  # IPv4-translated, RFC 2765
    (IPv6Network("64:ff9b::/96"), 12),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), 2),  # 6to4, RFC 3056
)
# A network's own translators (RFC 8215): the position of the address (RFC 6052, 2.2) is not known outside.
LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
# The metadata services of clouds, which give out credentials, and “this network”: never a valid target.
METADATA: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("100.100.100.200/32"),  # Alibaba
    IPv4Network("168.63.129.16/32"),  # Azure, in the public space
    IPv4Network("192.0.0.192/32"),  # Oracle
    IPv6Network("fd00:ec2::/32"),  # Amazon
    IPv6Network("fd20:ce::254/128"),  # Google
)


class UnknownName(Exception):
    """The name service does not know the host."""


class PrivateAddress(Exception):
    """The host has an address that needs `allow_private`, or one that is never allowed."""


def is_allowed(address: Address, *, allow_private: bool) -> bool:
    """Tells whether an address may be connected to.

    `allow_private` allows this machine and private networks, but neither link-local addresses nor the
    metadata services of clouds.
    """
    if isinstance(address, IPv6Address) and (held := _held(address)):
        return all(is_allowed(each, allow_private=allow_private) for each in held)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if any(address in network for network in METADATA):
        return False
    return allow_private or is_public(address)


def is_public(address: Address) -> bool:
    """Tells whether the address is globally reachable (IANA special-purpose address registries)."""
    if isinstance(address, IPv6Address):
        return address.is_global and address in PUBLIC
    return address.is_global


def _held(address: IPv6Address) -> list[Address]:
    """Returns the IPv4 or IPv6 addresses that this address leads to; [] for an ordinary address."""
    if address.is_unspecified or address.is_loopback:
        return []
    packed = address.packed
    if address in LOCAL_NAT64:
        return [IPv6Address("fd00::"), *_possible(packed)]
    if address.teredo:  # RFC 4380
        return [IPv6Address("fd00::"), *address.teredo]
    return [IPv4Address(packed[start : start + 4]) for network, start in HOLDING if address in network]


def _possible(packed: bytes) -> Iterable[Address]:
    """Returns the link-local addresses that it may contain with a prefix of 48, 56, 64 or 96 bits, without
    byte 8.
    """
    bare = packed[:8] + packed[9:]
    found = [IPv4Address(bare[start : start + 4]) for start in (6, 7, 8)] + [IPv4Address(packed[12:])]
    return [each for each in found if each.is_link_local]


def look_up(host: str, port: int, *, allow_private: bool) -> list[Address]:
    """Returns the addresses of `host`, all of them allowed. Raises `UnknownName`, `PrivateAddress`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UnknownName(host) from None
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    addresses = [ipaddress.ip_address(text) for text in texts]
    check(addresses, host, allow_private=allow_private)
    return addresses


def is_listed(host: str, port: int | None, names: Iterable[str]) -> bool:
    """Tells whether the host is among `names` (`host[:port]`); a name without a port covers every port."""
    return any((host.lower(), known) == _parted(name) for name in names for known in (port, None))


def _parted(name: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{name}")
    return parts.hostname or "", parts.port


def check_literal(host: str, *, allow_private: bool) -> None:
    """Raises `PrivateAddress` if `host` is itself an address that is not allowed; looks up no name."""
    check(_literal(host), host, allow_private=allow_private)


def check(addresses: Iterable[Address], host: str, *, allow_private: bool) -> None:
    """Raises `PrivateAddress` if one of the addresses of `host` is not allowed."""
    if not all(is_allowed(address, allow_private=allow_private) for address in addresses):
        raise PrivateAddress(host)


def _literal(host: str) -> list[Address]:
    """Returns the address that `host` is, in any notation that a resolver accepts; [] for a name."""
    bare = host.rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return [IPv4Address("127.0.0.1")]
    with suppress(ValueError):
        return [ipaddress.ip_address(host.partition("%")[0])]
    with suppress(OSError):
        return [IPv4Address(socket.inet_aton(bare))]
    return []
