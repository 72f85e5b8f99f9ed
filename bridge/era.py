"""Which revision of MCP a request belongs to, and whether a modern request is complete.

Revisions up to 2025-11-25 begin with `initialize` and have sessions. Since 2026-07-28 each request carries
its version, client and capabilities in `params._meta` (here called the envelope). The bridge makes the checks
that a stdio server cannot make, because it sees no headers.
"""

from __future__ import annotations

from typing import Any

from bridge import agreement, jsonrpc, protocol
from bridge.http1 import HttpError, Request
from bridge.jsonrpc import Message


def http_status(error_code: Any) -> int:
    """The HTTP status for a modern response with this error code; 200 for other codes and for no error."""
    return protocol.STATUSES.get(error_code, 200) if isinstance(error_code, int) else 200


def header_is_modern(request: Request) -> bool:
    """Whether the header has a modern version. An unknown version counts as one: the server refuses it."""
    version = request.header(protocol.VERSION_HEADER)
    return version is not None and protocol.is_modern(version)


def is_modern(request: Request, message: Message) -> bool:
    """Whether a message is modern: by its header, else by an envelope on a request without a session."""
    if header_is_modern(request):
        return True
    enveloped = protocol.VERSION_KEY in jsonrpc.meta(message) and message.get("method") != "initialize"
    return enveloped and request.header(protocol.SESSION_HEADER) is None


def check_envelope(request: Request, message: Message) -> None:
    """Raises `HttpError` 400 where the envelope is not complete, or the headers differ from the body.

    Source: 2026-07-28, Streamable HTTP, "Server validation".
    """
    meta = jsonrpc.meta(message)
    missing = [name for name in (protocol.VERSION_KEY, protocol.CAPABILITIES_KEY) if name not in meta]
    if missing:
        text = f"params._meta lacks {' and '.join(missing)}"
        raise _refusal(message, protocol.INVALID_PARAMS, text)
    if header := agreement.disagreement(request.every, message):
        text = f"The {header} header is repeated or does not match the body"
        raise _refusal(message, protocol.HEADER_MISMATCH, text)


def _refusal(message: Message, code: int, text: str) -> HttpError:
    return HttpError(400, text, code=code, request_id=message["id"])
