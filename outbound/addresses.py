"""Which addresses may be asked: what a name leads to is looked at once, whatever form it hides in.

An IPv6 address that holds another one is judged by what it holds: a translator or a tunnel would lead there.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
MOST = 4  # of one name that are tried: each may take the whole time that connecting may

PUBLIC = IPv6Network("2000::/3")  # all that IANA has given out as global unicast
# (network, where in the 16 bytes the IPv4 address begins)
HOLDING = (
    (IPv6Network("::/96"), 12),  # IPv4-compatible, RFC 4291 2.5.5.1
    (IPv6Network("::ffff:0:0/96"), 12),  # IPv4-mapped, RFC 4291 2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), 12),  # IPv4-translated, RFC 2765
    (IPv6Network("64:ff9b::/96"), 12),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), 2),  # 6to4, RFC 3056
)
# A network's own translators (RFC 8215): where the address begins (RFC 6052 2.2), nobody outside can tell.
LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
# Where clouds tell their machines who they are, and this network's own address: nobody needs to ask there.
METADATA: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("100.100.100.200/32"),  # Alibaba
    IPv4Network("168.63.129.16/32"),  # Azure, in the public space
    IPv4Network("192.0.0.192/32"),  # Oracle
    IPv6Network("fd00:ec2::/32"),  # Amazon
    IPv6Network("fd20:ce::254/128"),  # Google
)


class UnknownName(Exception):
    """No name service knows the host."""


class InnerAddress(Exception):
    """The host lies where `inner` is needed, or where nobody may send."""


def is_allowed(address: Address, *, inner: bool) -> bool:
    """`inner` allows this machine and private networks; never link-local ones, nor a cloud's metadata."""
    if isinstance(address, IPv6Address) and (held := _held(address)):
        return all(is_allowed(each, inner=inner) for each in held)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if any(address in network for network in METADATA):
        return False
    return inner or is_public(address)


def is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        return address.is_global and address in PUBLIC
    return address.is_global


def _held(address: IPv6Address) -> list[Address]:
    """The addresses that this one leads to; none where it is nothing but itself."""
    if address.is_unspecified or address.is_loopback:
        return []
    packed = address.packed
    if address in LOCAL_NAT64:
        return [IPv6Address("fd00::"), *_possible(packed)]
    if address.teredo:  # RFC 4380
        return [IPv6Address("fd00::"), *address.teredo]
    return [IPv4Address(packed[start : start + 4]) for network, start in HOLDING if address in network]


def _possible(packed: bytes) -> Iterable[Address]:
    """The link-local ones of what prefixes of 48, 56, 64 and 96 bits leave room for, byte 8 left out."""
    bare = packed[:8] + packed[9:]
    found = [IPv4Address(bare[start : start + 4]) for start in (6, 7, 8)] + [IPv4Address(packed[12:])]
    return [each for each in found if each.is_link_local]


def look_up(host: str, port: int, *, inner: bool) -> list[Address]:
    """Where `host` leads, every address allowed. Raises `UnknownName`, `InnerAddress`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UnknownName(host) from None
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    addresses = [ipaddress.ip_address(text) for text in texts]
    check(addresses, host, inner=inner)
    return addresses


def is_named(host: str, port: int | None, names: Iterable[str]) -> bool:
    """Whether the host is among `names` (`host[:port]`); one without a port stands for every port."""
    return any((host.lower(), known) == _parted(name) for name in names for known in (port, None))


def _parted(name: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{name}")
    return parts.hostname or "", parts.port


def check_plain(host: str, *, inner: bool) -> None:
    """Raises `InnerAddress` for a host that plainly is one, without asking a name service."""
    check(_literal(host), host, inner=inner)


def check(addresses: Iterable[Address], host: str, *, inner: bool) -> None:
    if not all(is_allowed(address, inner=inner) for address in addresses):
        raise InnerAddress(host)


def _literal(host: str) -> list[Address]:
    """The address that a host plainly is, in any of the forms that a resolver takes; none for a name."""
    bare = host.rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return [IPv4Address("127.0.0.1")]
    with suppress(ValueError):
        return [ipaddress.ip_address(host.partition("%")[0])]
    with suppress(OSError):
        return [IPv4Address(socket.inet_aton(bare))]
    return []
