"""What a request says about the protocol it speaks, and whether its headers and its body agree.

The revisions up to 2025-11-25 open with `initialize` and have sessions; from 2026-07-28 on each request
carries its own envelope in `params._meta`. The checks here are those that a server behind stdio cannot make,
since it sees no headers (2026-07-28, Streamable HTTP, "Server validation").
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Optional

from bridge import jsonrpc
from bridge.http1 import HttpError, Request
from bridge.jsonrpc import Message

SESSION_VERSIONS = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"})
PRIMED_VERSIONS = frozenset({"2025-11-25"})  # earlier clients choke on an event without data
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
SUBSCRIPTION_KEY = "io.modelcontextprotocol/subscriptionId"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
ROUTING_HEADERS = frozenset({"mcp-protocol-version", "mcp-method", "mcp-name"})

HTTP_STATUS = {
    jsonrpc.PARSE_ERROR: 400,
    jsonrpc.INVALID_REQUEST: 400,
    jsonrpc.INVALID_PARAMS: 400,
    jsonrpc.HEADER_MISMATCH: 400,
    jsonrpc.MISSING_CLIENT_CAPABILITY: 400,
    jsonrpc.UNSUPPORTED_VERSION: 400,
    jsonrpc.METHOD_NOT_FOUND: 404,
}


def http_status(error_code: Any) -> int:
    """The status that goes with a response, given the code of its error."""
    return HTTP_STATUS.get(error_code, 200) if isinstance(error_code, int) else 200


def header_is_modern(request: Request) -> bool:
    """Any version but those with sessions: an unknown one is the server's to refuse."""
    version = request.header("mcp-protocol-version")
    return version is not None and version not in SESSION_VERSIONS


def is_modern(request: Request, message: Message) -> bool:
    if header_is_modern(request):
        return True
    enveloped = VERSION_KEY in jsonrpc.meta(message) and message.get("method") != "initialize"
    return enveloped and request.header("mcp-session-id") is None


def check_envelope(request: Request, message: Message) -> None:
    """Raises `HttpError` 400 unless the envelope is there and the headers say what the body says."""
    meta = jsonrpc.meta(message)
    missing = [name for name in (VERSION_KEY, CAPABILITIES_KEY) if name not in meta]
    if missing:
        text = f"params._meta lacks {' and '.join(missing)}"
        raise _refusal(message, jsonrpc.INVALID_PARAMS, text)
    repeated = request.repeated & ROUTING_HEADERS
    mismatched = min(repeated) if repeated else _mismatched_header(request, message)
    if mismatched:
        text = f"The {mismatched} header is repeated or does not match the body"
        raise _refusal(message, jsonrpc.HEADER_MISMATCH, text)


def _mismatched_header(request: Request, message: Message) -> Optional[str]:
    if request.header("mcp-protocol-version") != jsonrpc.meta(message)[VERSION_KEY]:
        return "MCP-Protocol-Version"
    if request.header("mcp-method") != message["method"]:
        return "Mcp-Method"
    name = jsonrpc.params(message).get(NAMED.get(message["method"], ""))
    if name is not None and decode_header(request.header("mcp-name")) != name:
        return "Mcp-Name"
    return None


def decode_header(value: Optional[str]) -> Optional[str]:
    """Undoes `=?base64?…?=`; None for what is not canonical."""
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    payload = value[len("=?base64?") : -len("?=")]
    try:
        decoded = base64.b64decode(payload, validate=True)
        return decoded.decode("utf-8") if base64.b64encode(decoded).decode() == payload else None
    except (binascii.Error, ValueError):
        return None


def _refusal(message: Message, code: int, text: str) -> HttpError:
    return HttpError(400, text, code=code, request_id=message["id"])
