"""GET of a JSON document from an address that a person or a document named, with a guard.

https to public addresses only, unless CATALOG_ALLOW_PRIVATE allows this network; the address that was checked
is the one that is connected to; few redirects, each checked again; bounded in bytes and in time.
"""

from __future__ import annotations

import ipaddress
import socket
import time
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from servers.errors import Invalid, UserError

SECONDS = 10.0
MOST_REDIRECTS = 3
CHUNK = 64 * 1024
HEADERS = {"Accept": "application/json", "User-Agent": "mcphost-catalog", "Accept-Encoding": "identity"}
REDIRECTS = (301, 302, 303, 307, 308)


class Unreachable(UserError):
    """The address did not answer, or not with what was asked for."""

    kind = "source"
    permanent = False


@dataclass(frozen=True)
class Guard:
    """`private`: http, and addresses of this machine and its networks, are allowed."""

    private: bool = False
    most_bytes: int = 1 << 20
    seconds: float = SECONDS


def get(url: str, guard: Guard) -> bytes:
    """The body behind `url`. Raises `Invalid` for an address that is not allowed, `Unreachable`."""
    deadline = time.monotonic() + guard.seconds
    for _ in range(MOST_REDIRECTS + 1):
        answer = _asked(url, guard, deadline)
        try:
            if answer.status not in REDIRECTS:
                return _body(url, answer, guard, deadline)
            url = urljoin(url, answer.headers.get("Location", ""))
        finally:
            answer.release_conn()
            answer.close()
    raise Unreachable(f"{_shown(url)} redirects too often.")


def _asked(url: str, guard: Guard, deadline: float) -> Any:
    parts = _allowed(url, guard)
    left = max(deadline - time.monotonic(), 0.1)
    try:
        return _pool(parts, guard).urlopen(
            "GET",
            _target(parts),
            headers={**HEADERS, "Host": parts.netloc},
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=Timeout(total=left),
        )
    except HTTPError as error:
        raise Unreachable(f"{_shown(url)} cannot be reached: {_why(error)}.") from error


def _allowed(url: str, guard: Guard) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid("This is not a URL.", field="url") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Invalid("Give a URL that begins with https://.", field="url")
    if parts.username or parts.password:
        raise Invalid("The URL holds a password: leave it out.", field="url")
    if parts.scheme == "http" and not guard.private:
        hint = "CATALOG_ALLOW_PRIVATE=true allows http and private addresses."
        raise Invalid("Only https is fetched.", field="url", hint=hint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2])


def _pool(parts: SplitResult, guard: Guard) -> Any:
    """Connects to the very address that was checked: a second look-up could answer another one."""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxy = _proxy_for(parts)
    if proxy:
        _refuse_private_literal(parts.hostname or "", guard)
        manager = urllib3.ProxyManager(proxy, ca_certs=certifi.where())
        return manager.connection_from_host(parts.hostname, port, parts.scheme)
    address = _address(parts.hostname or "", port, guard)
    if parts.scheme == "http":
        return urllib3.HTTPConnectionPool(address, port)
    return urllib3.HTTPSConnectionPool(
        address,
        port,
        server_hostname=parts.hostname,
        assert_hostname=parts.hostname,
        ca_certs=certifi.where(),
    )


def _proxy_for(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if urllib.request.proxy_bypass(host):
        return ""
    return urllib.request.getproxies().get(parts.scheme, "")


def _address(host: str, port: int, guard: Guard) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreachable(f"{host} is not known to this machine's name service.") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not guard.private and not all(map(_is_public, addresses)):
        raise _private(host)
    return addresses[0]


def _refuse_private_literal(host: str, guard: Guard) -> None:
    """Behind a proxy the proxy looks names up; what is plainly this network is refused here."""
    try:
        public = _is_public(host)
    except ValueError:
        public = host != "localhost" and not host.endswith(".localhost")
    if not public and not guard.private:
        raise _private(host)


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_global and not found.is_multicast


def _private(host: str) -> Invalid:
    return Invalid(
        f"{host} is an address of this machine or of a private network, which is not fetched from.",
        field="url",
        hint="CATALOG_ALLOW_PRIVATE=true allows it.",
    )


def _body(url: str, answer: Any, guard: Guard, deadline: float) -> bytes:
    if answer.status == 404:
        raise Unreachable(f"{_shown(url)} has nothing there (404).", permanent=True)
    if answer.status != 200:
        raise Unreachable(f"{_shown(url)} answered {answer.status}.")
    body = b""
    try:
        # One receive at a time: who sends a byte now and then meets the deadline too.
        while chunk := answer.read1(CHUNK, decode_content=True):
            body += chunk
            if len(body) > guard.most_bytes:
                raise Unreachable(f"{_shown(url)} sends more than {guard.most_bytes // 1024} KiB.")
            if time.monotonic() > deadline:
                raise Unreachable(f"{_shown(url)} takes longer than {guard.seconds:.0f} s.")
    except HTTPError as error:
        raise Unreachable(f"{_shown(url)} broke off: {_why(error)}.") from error
    return body


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _shown(url: str) -> str:
    """Without its query, which may hold a key."""
    return url.partition("?")[0][:200]


def _why(error: HTTPError) -> str:
    return type(error).__name__.removesuffix("Error") or "an error"
