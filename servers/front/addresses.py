"""The key by which connections and requests of one sender are counted."""

from __future__ import annotations

import ipaddress


def address_key(address: str) -> str:
    """Returns an IPv4 address as it is, and an IPv6 address as its /64.

    One sender may have all addresses of a /64.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
