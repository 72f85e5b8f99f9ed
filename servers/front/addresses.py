"""Of whom one counts connections and requests."""

from __future__ import annotations

import ipaddress


def address_key(address: str) -> str:
    """An IPv6 address for all of its /64: whoever has one has them all."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
