"""Which Host header the platform sends to a hosted server.

The MCP SDKs protect servers against DNS rebinding: by default a server accepts requests for 127.0.0.1 and
localhost and refuses any other Host (the Python SDK answers 421, those for TypeScript and Rust answer 403).
In a container network or a cluster the server has another name, which this protection does not know. Only the
platform can call the server, and the platform checks the Host and the Origin of its own callers. So it sends
the loopback address as the Host. Where a server refuses that, the handshake tries other names that the server
may have been told to allow.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_PROXIED = re.compile(r"/(?:services|pods)/[^/:]+:(\d+)/proxy/")


def usual(endpoint: str) -> str:
    """The Host header to send to `endpoint` first.

    It is 127.0.0.1 and the port of the endpoint. The host of the URL itself is used for `https://…`, which is
    the address of a Kubernetes API server, and for a server on the loopback address.
    """
    parts = urlsplit(endpoint)
    if parts.scheme == "https" or _is_loopback(parts.hostname or ""):
        return parts.netloc
    return f"127.0.0.1:{parts.port or 80}"


def candidates(endpoint: str, public: str = "") -> tuple[str, ...]:
    """The Host headers to try, in this order. `public` is the platform's own URL, which a server may know."""
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
