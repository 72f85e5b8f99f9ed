"""Which Host a hosted server is named.

The MCP SDKs guard servers against DNS rebinding, by default those that were made for one machine: they take
requests for 127.0.0.1 and localhost and refuse any other Host (Python: 421, TypeScript and Rust: 403). In a
container network or a cluster a server has another name, which no guard can know. The platform is the only
one that calls it, and checks the Host and the Origin of its callers itself: so the server is named the
loopback address, and where it refuses that, at its handshake, what else it may have been told to allow.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_PROXIED = re.compile(r"/(?:services|pods)/[^/:]+:(\d+)/proxy/")


def usual(endpoint: str) -> str:
    """The Host for `http://host:port/path`: the loopback address and the port. Its own for `https://…`, which
    is an API server's, and for what runs beside us."""
    parts = urlsplit(endpoint)
    if parts.scheme == "https" or _is_loopback(parts.hostname or ""):
        return parts.netloc
    return f"127.0.0.1:{parts.port or 80}"


def candidates(endpoint: str, public: str = "") -> tuple[str, ...]:
    """What to try, the usual one first. `public` is the platform's own URL: some servers were told it."""
    parts = urlsplit(endpoint)
    proxied = _PROXIED.search(parts.path)
    port = proxied[1] if proxied else parts.port or 80
    local = (f"127.0.0.1:{port}", f"localhost:{port}", "127.0.0.1", "localhost")
    every = (usual(endpoint), *local[:2], parts.netloc, urlsplit(public).netloc, *local[2:])
    return tuple(dict.fromkeys(name for name in every if name))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
