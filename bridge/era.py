"""What a request says about the protocol it speaks, and whether its headers and its body agree.

The revisions up to 2025-11-25 open with `initialize` and have sessions; from 2026-07-28 on each request
carries its own envelope in `params._meta`. The checks here are those that a server behind stdio cannot make,
since it sees no headers.
"""

from __future__ import annotations

from typing import Any

from bridge import agreement, jsonrpc, protocol
from bridge.http1 import HttpError, Request
from bridge.jsonrpc import Message


def http_status(error_code: Any) -> int:
    """The status that goes with a response, given the code of its error."""
    return protocol.STATUSES.get(error_code, 200) if isinstance(error_code, int) else 200


def header_is_modern(request: Request) -> bool:
    """Any version but those with sessions: an unknown one is the server's to refuse."""
    version = request.header(protocol.VERSION_HEADER)
    return version is not None and protocol.is_modern(version)


def is_modern(request: Request, message: Message) -> bool:
    if header_is_modern(request):
        return True
    enveloped = protocol.VERSION_KEY in jsonrpc.meta(message) and message.get("method") != "initialize"
    return enveloped and request.header(protocol.SESSION_HEADER) is None


def check_envelope(request: Request, message: Message) -> None:
    """Raises `HttpError` 400 unless the envelope is there and the headers say what the body says."""
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
