"""The gateway's own answers: an HTTP status, and a JSON-RPC error that says what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from bridge import protocol
from gateway.headers import GUARDS
from gateway.types import RawHeaders, Send


@dataclass(eq=False)
class Refusal(Exception):
    """An answer in place of the server's.

    `message` can be shown; `code` 0 means the default for the status.
    """

    status: int
    message: str
    headers: RawHeaders = field(default_factory=list)
    code: int = 0
    data: dict[str, Any] = field(default_factory=dict)

    def body(self, request_id: Any) -> bytes:
        """Returns the JSON-RPC error response (JSON-RPC 2.0, section 5.1)."""
        code = self.code or (protocol.INVALID_REQUEST if self.status < 500 else protocol.INTERNAL_ERROR)
        error = {"code": code, "message": self.message, "data": {"status": self.status, **self.data}}
        return dumped({"jsonrpc": "2.0", "id": request_id, "error": error})


def dumped(message: dict[str, Any]) -> bytes:
    """Serialises a message; a caller's text may hold half a surrogate pair, which orjson refuses."""
    try:
        return orjson.dumps(message)
    except TypeError:
        return json.dumps(message).encode()


def unauthorized(
    metadata_url: str, *, presented: bool, scopes: str = "", reason: str = "unknown, expired or revoked"
) -> Refusal:
    """Returns the answer to a request without a valid token.

    Without a token it has no `error` (RFC 6750, 3.1); it names the metadata's URL (RFC 9728, 5.1).
    """
    if not presented:
        return Refusal(401, "A bearer token is needed.", _challenge(metadata_url, scopes=scopes))
    message = f"The token is {reason}."
    about = _challenge(metadata_url, error="invalid_token", error_description=message, scopes=scopes)
    return Refusal(401, message, about)


def insufficient_scope(metadata_url: str, scopes: str) -> Refusal:
    """Returns the answer to a token with too few scopes (RFC 6750, 3.1); `scopes` are all that are needed."""
    about = _challenge(metadata_url, error="insufficient_scope", scopes=scopes)
    return Refusal(403, f"The token needs the scopes: {scopes}.", about)


def unknown_user() -> Refusal:
    return Refusal(403, "The token is valid, but no active user of this platform has its name.")


def _challenge(
    metadata_url: str, *, error: str = "", error_description: str = "", scopes: str = ""
) -> RawHeaders:
    said = {
        "error": error,
        "error_description": error_description,
        "scope": scopes,
        "resource_metadata": metadata_url,
    }
    written = ", ".join(f'{name}="{value}"' for name, value in said.items() if value)
    return [(b"www-authenticate", f"Bearer {written}".encode())]


def too_many_calls(retry_after: int) -> Refusal:
    message = f"Too many calls: try again in {retry_after} s."
    return Refusal(429, message, [(b"retry-after", str(retry_after).encode())])


def tool_denied(name: str, *, modern: bool) -> Refusal:
    """Returns the answer that a server gives for an unknown tool.

    In the modern era invalid params have the status 400; the older one answers every readable request with
    200.
    """
    message = f"Unknown tool: {name} (the policy of this server or token does not allow it)"
    return Refusal(400 if modern else 200, message, code=protocol.INVALID_PARAMS)


def unreadable() -> Refusal:
    message = "A tool policy is in force here, and this body is no JSON that can be read in one way only."
    return Refusal(400, message, code=protocol.PARSE_ERROR)


def compressed(name: str) -> Refusal:
    return Refusal(502, f"{name} compresses its list of tools unasked, so that no policy can be applied.")


def unknown_host(host: str) -> Refusal:
    return Refusal(421, f"Unknown host {host[:200]!r}: add it to ALLOWED_HOSTS.")


def foreign_origin() -> Refusal:
    return Refusal(403, "This Origin may not call the gateway: add it to CSRF_TRUSTED_ORIGINS or PUBLIC_URL.")


def not_found() -> Refusal:
    """Returns the same answer for a missing server and for one that the token does not open."""
    return Refusal(404, "There is no such server, or this token does not open it.")


def session_lost() -> Refusal:
    return Refusal(404, "Session terminated: initialize again.")


def method_not_allowed(allowed: str = "POST, GET, DELETE") -> Refusal:
    return Refusal(405, f"Use {allowed}.", [(b"allow", allowed.encode())])


def not_comparable() -> Refusal:
    message = "This body is no JSON object whose method and name can be compared with the headers."
    return Refusal(400, message, code=protocol.PARSE_ERROR)


def too_large(limit: int) -> Refusal:
    return Refusal(413, f"The request is larger than {limit} bytes.")


def unavailable(message: str, retry_after: int) -> Refusal:
    return Refusal(503, message, [(b"retry-after", str(retry_after).encode())])


def busy(name: str, most: int) -> Refusal:
    return unavailable(f"{name} is answering {most} calls already. Try again shortly.", 1)


def unreachable(name: str) -> Refusal:
    return Refusal(502, f"{name} broke the connection or cannot be reached. See its log.")


def replaced(name: str) -> Refusal:
    message = f"{name} was deployed anew while it answered, and this call took longer than it is then given."
    return Refusal(502, f"{message} It may have had effects. Call again if that does no harm.")


def ended(name: str) -> Refusal:
    return Refusal(502, f"{name} was stopped while it answered. The call may have had effects.")


def stopping() -> Refusal:
    message = "The gateway is being stopped, and this call took longer than it is then given."
    return unavailable(f"{message} It may have had effects. Call again if that does no harm.", 1)


def redirected(name: str, status: int, location: str) -> Refusal:
    """Returns the answer to a redirect of a hosted server.

    Its Location is not passed on: it could lead callers, and pages of this origin, anywhere.
    """
    try:
        path = urlsplit(location).path[:200]
    except ValueError:
        path = ""
    if not path:
        return Refusal(502, f"{name} answers MCP calls with a redirect ({status}) that leads nowhere.")
    return Refusal(502, f"{name} redirects MCP calls to {path}: set its path to that.")


def no_session_id(name: str) -> Refusal:
    return Refusal(502, f"{name} calls a session by what is no session id: visible ASCII, not too long.")


def too_slow(name: str, seconds: float) -> Refusal:
    return Refusal(504, f"{name} sent nothing for {seconds:g} s.")


async def answer(send: Send, refusal: Refusal, request_id: Any = None) -> int:
    """Sends the refusal and returns the size of its body in bytes."""
    body = refusal.body(request_id)
    await respond(send, refusal.status, body, refusal.headers)
    return len(body)


async def respond(send: Send, status: int, body: bytes, headers: RawHeaders) -> None:
    """Sends a JSON body with the headers that every answer below /mcp/ has."""
    length = str(len(body)).encode()
    about = [
        (b"content-type", b"application/json"),
        (b"content-length", length),
        *GUARDS,
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*about, *headers]})
    await send({"type": "http.response.body", "body": body})
