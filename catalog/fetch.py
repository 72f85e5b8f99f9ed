"""Fetches a JSON document from a URL that a person or a document named.

Only https and public addresses are allowed, unless CATALOG_ALLOW_PRIVATE is set. The checked address is the
one that is connected to (see `outbound`). Redirects are few and checked, bytes and time are bounded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from urllib3.exceptions import HTTPError

import outbound
from hosting.errors import Invalid, UserError

SECONDS = 10.0
MOST_REDIRECTS = 3
CHUNK = 64 * 1024
HEADERS = {"Accept": "application/json", "User-Agent": "mcphost-catalog", "Accept-Encoding": "identity"}
REDIRECTS = (301, 302, 303, 307, 308)


class Unreachable(UserError):
    """The address did not answer, or not with the document."""

    kind = "source"
    permanent = False


@dataclass(frozen=True)
class Guard:
    """The limits of a fetch. `private` allows http and addresses of this machine and its networks."""

    private: bool = False
    most_bytes: int = 1 << 20
    seconds: float = SECONDS


def get(url: str, guard: Guard) -> bytes:
    """Returns the body. Raises `Invalid` for a URL that is not allowed, and `Unreachable`."""
    deadline = time.monotonic() + guard.seconds
    for _ in range(MOST_REDIRECTS + 1):
        parts = _allowed(url, guard)
        try:
            left = max(deadline - time.monotonic(), 0.1)
            with outbound.request(
                "GET", parts, allow_private=guard.private, seconds=left, headers=HEADERS
            ) as answer:
                if answer.status not in REDIRECTS:
                    return _body(url, answer, guard)
                url = urljoin(url, answer.headers.get("Location", ""))
        except outbound.PrivateAddress:
            raise _private(parts.hostname or "") from None
        except outbound.UnknownName:
            raise Unreachable(f"{parts.hostname} is not known to this machine's name service.") from None
        except outbound.TooSlow:
            raise Unreachable(f"{_shown(url)} takes longer than {guard.seconds:.0f} s.") from None
        except (HTTPError, OSError, ValueError) as error:
            raise Unreachable(f"{_shown(url)} cannot be reached: {_why(error)}.") from error
    raise Unreachable(f"{_shown(url)} redirects too often.")


def _allowed(url: str, guard: Guard) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid("This is not a URL.", field="url") from None
    plain = url.isascii() and url.isprintable()
    if not plain or parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Invalid("Give a URL that begins with https://.", field="url")
    if parts.username or parts.password:
        raise Invalid("The URL holds a password: leave it out.", field="url")
    if parts.scheme == "http" and not guard.private:
        hint = "CATALOG_ALLOW_PRIVATE=true allows http and private addresses."
        raise Invalid("Only https is fetched.", field="url", hint=hint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2])


def _private(host: str) -> Invalid:
    return Invalid(
        f"{host} is an address of this machine or of a private network, which is not fetched from.",
        field="url",
        hint="CATALOG_ALLOW_PRIVATE=true allows it.",
    )


def _body(url: str, answer: Any, guard: Guard) -> bytes:
    if answer.status == 404:
        raise Unreachable(f"{_shown(url)} has nothing there (404).", permanent=True)
    if answer.status != 200:
        raise Unreachable(f"{_shown(url)} answered {answer.status}.")
    body = b""
    while chunk := answer.read1(CHUNK, decode_content=True):
        body += chunk
        if len(body) > guard.most_bytes:
            raise Unreachable(f"{_shown(url)} sends more than {guard.most_bytes // 1024} KiB.")
    return body


def _shown(url: str) -> str:
    """Returns the URL without its query, which may hold a key."""
    return url.partition("?")[0][:200]


def _why(error: Exception) -> str:
    return type(error).__name__.removesuffix("Error") or "an error"
