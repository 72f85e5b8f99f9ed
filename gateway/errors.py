"""What the gateway itself answers: an HTTP status, and a JSON-RPC error that says what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from gateway.types import RawHeaders, Send

INVALID_REQUEST = -32600
INTERNAL_ERROR = -32603


@dataclass(eq=False)
class Refusal(Exception):
    """An answer in place of the server's. `message` is fit for a screen and holds nothing of the request."""

    status: int
    message: str
    headers: RawHeaders = field(default_factory=list)

    def body(self, request_id: Any) -> bytes:
        code = INVALID_REQUEST if self.status < 500 else INTERNAL_ERROR
        error = {"code": code, "message": self.message, "data": {"status": self.status}}
        return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "error": error})


def unauthorized(metadata_url: str, *, presented: bool) -> Refusal:
    """RFC 6750 section 3: no `error` where no token was sent; RFC 9728 section 5.1: where to learn more."""
    reason = 'error="invalid_token", ' if presented else ""
    challenge = f'Bearer {reason}resource_metadata="{metadata_url}"'
    message = "The token is unknown, expired or revoked." if presented else "A bearer token is needed."
    return Refusal(401, message, [(b"www-authenticate", challenge.encode())])


def unknown_host(host: str) -> Refusal:
    return Refusal(421, f"Unknown host {host[:200]!r}: add it to ALLOWED_HOSTS.")


def foreign_origin() -> Refusal:
    return Refusal(403, "This Origin may not call the gateway: add it to CSRF_TRUSTED_ORIGINS or PUBLIC_URL.")


def not_found() -> Refusal:
    """One answer for a server that is not there and for one that the token does not open."""
    return Refusal(404, "There is no such server, or this token does not open it.")


def session_lost() -> Refusal:
    return Refusal(404, "Session terminated: initialize again.")


def method_not_allowed() -> Refusal:
    return Refusal(405, "Use POST, GET or DELETE.", [(b"allow", b"POST, GET, DELETE")])


def too_large(limit: int) -> Refusal:
    return Refusal(413, f"The request is larger than {limit} bytes.")


def unavailable(message: str, retry_after: int) -> Refusal:
    return Refusal(503, message, [(b"retry-after", str(retry_after).encode())])


def unreachable(name: str) -> Refusal:
    return Refusal(502, f"{name} broke the connection or cannot be reached. See its log.")


def redirected(name: str, location: str) -> Refusal:
    path = urlsplit(location).path[:200]
    return Refusal(502, f"{name} redirects MCP calls to {path}: set its path to that.")


def too_slow(name: str, seconds: float) -> Refusal:
    return Refusal(504, f"{name} did not begin to answer within {seconds:g} s.")


async def answer(send: Send, refusal: Refusal, request_id: Any = None) -> int:
    """Sends the refusal and returns the size of its body."""
    body = refusal.body(request_id)
    await respond(send, refusal.status, body, refusal.headers)
    return len(body)


async def respond(send: Send, status: int, body: bytes, headers: RawHeaders) -> None:
    length = str(len(body)).encode()
    about = [
        (b"content-type", b"application/json"),
        (b"content-length", length),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*about, *headers]})
    await send({"type": "http.response.body", "body": body})
