"""The two protocol eras at one URL: what the specification has us say where caller and server differ.

Revisions up to 2025-11-25 open with `initialize`; from 2026-07-28 on, each request carries its version, in
the header and in the body. What a server can tell by itself it tells itself: here is only what its era
leaves unsaid, and the agreement of headers and body, which the gateway's own records and rules rely on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.era import CAPABILITIES_KEY, NAMED, SESSION_VERSIONS, VERSION_KEY, decode_header
from gateway import errors
from gateway.errors import Refusal
from gateway.request import Request

HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022
METHOD_NOT_FOUND = -32601
REMOVED = frozenset(
    {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}
)

Message = dict[str, Any]


def is_modern(request: Request) -> bool:
    """By the header alone, as servers route: any version but those with sessions, an unknown one too."""
    version = request.one(b"mcp-protocol-version")
    return bool(version) and version not in SESSION_VERSIONS


def check(request: Request, message: Message | None, era: str, versions: Sequence[str]) -> None:
    """Raises the `Refusal` that the server's `era` ("" where it is not known) has for this request.

    `message` is the body where it is one JSON-RPC object.
    """
    if not is_modern(request):
        if era == "modern":
            _refuse_sessions(request, message or {}, versions)
        return
    if era == "legacy":
        raise legacy_only(request, versions)
    if request.method != "POST":
        raise post_only()
    if message and "id" in message and isinstance(message.get("method"), str):
        _check_call(request, message)


def check_passed(request: Request, message: Message | None) -> None:
    """`check` for a long body, by what was read off it as it passed (see `skeleton`)."""
    if not is_modern(request) or request.one(b"content-encoding") not in ("", "identity"):
        return
    if message is None:
        raise errors.not_comparable()
    if "id" in message and isinstance(message.get("method"), str):
        _check_call(request, message)


def _refuse_sessions(request: Request, message: Message, versions: Sequence[str]) -> None:
    if request.method != "POST":
        raise post_only()
    if message.get("method") == "initialize":
        wanted = params_of(message).get("protocolVersion")
        raise modern_only(wanted if isinstance(wanted, str) else "", versions)


def _check_call(request: Request, message: Message) -> None:
    """Without its envelope a request is for the server to refuse (that comes first in the specification)."""
    meta = params_of(message).get("_meta")
    if not isinstance(meta, dict) or VERSION_KEY not in meta or CAPABILITIES_KEY not in meta:
        return
    if header := _mismatched(request, message, meta):
        raise mismatch(f"The {header} header is repeated or does not match the body.")
    if message["method"] in REMOVED:
        text = f"{message['method']} is not part of protocol version {meta[VERSION_KEY]}."
        raise Refusal(404, text, code=METHOD_NOT_FOUND)


def _mismatched(request: Request, message: Message, meta: dict[str, Any]) -> str:
    """The first header that does not say what the body says; "" when all do."""
    if _only(request, b"mcp-protocol-version") != meta[VERSION_KEY]:
        return "MCP-Protocol-Version"
    if _only(request, b"mcp-method") != message["method"]:
        return "Mcp-Method"
    name = params_of(message).get(NAMED.get(message["method"], ""))
    if name is not None and decode_header(_only(request, b"mcp-name")) != name:
        return "Mcp-Name"
    return ""


def _only(request: Request, name: bytes) -> str | None:
    """The value of a header that is there once, without the white space around it (RFC 9110 section 5.5)."""
    values = request.every(name)
    return values[0].decode("latin-1").strip(" \t") if len(values) == 1 else None


def params_of(message: Message) -> dict[str, Any]:
    params = message.get("params")
    return params if isinstance(params, dict) else {}


def mismatch(reason: str) -> Refusal:
    return Refusal(400, reason, code=HEADER_MISMATCH)


def legacy_only(request: Request, versions: Sequence[str]) -> Refusal:
    """400 without a code of the modern era: on this, and only on this, clients fall back to `initialize`."""
    asked = request.one(b"mcp-protocol-version")[:50]
    return Refusal(400, f"Unsupported protocol version {asked}; supported: {', '.join(versions)}.")


def modern_only(asked: str, versions: Sequence[str]) -> Refusal:
    message = f"This server speaks {', '.join(versions)}, which have no initialize."
    about = {"supported": list(versions), "requested": asked[:50]}
    return Refusal(400, message, code=UNSUPPORTED_VERSION, data=about)


def post_only() -> Refusal:
    return errors.method_not_allowed("POST")
