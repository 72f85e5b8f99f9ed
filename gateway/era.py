"""The two protocol eras at one URL: what the specification has us say where caller and server differ.

Revisions up to 2025-11-25 open with `initialize`; from 2026-07-28 on, each request carries its version, in
the header and in the body. What a server can tell by itself it tells itself: here is only what its era
leaves unsaid, and the agreement of headers and body, which the gateway's own records and rules rely on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge import agreement, protocol
from bridge.jsonrpc import meta, params
from gateway import errors
from gateway.errors import Refusal
from gateway.request import Request

REMOVED = frozenset(
    {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}
)

Message = dict[str, Any]


def is_modern(request: Request) -> bool:
    """By the header alone, as servers route: any version but those with sessions, an unknown one too."""
    version = request.one(b"mcp-protocol-version")
    return bool(version) and protocol.is_modern(version)


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
        wanted = params(message).get("protocolVersion")
        raise modern_only(wanted if isinstance(wanted, str) else "", versions)


def _check_call(request: Request, message: Message) -> None:
    """Without its envelope a request is for the server to refuse (that comes first in the specification)."""
    said = meta(message)
    if protocol.VERSION_KEY not in said or protocol.CAPABILITIES_KEY not in said:
        return
    if header := agreement.disagreement(lambda name: _values(request, name), message):
        raise mismatch(f"The {header} header is repeated or does not match the body.")
    if message["method"] in REMOVED:
        text = f"{message['method']} is not part of protocol version {said[protocol.VERSION_KEY]}."
        raise Refusal(404, text, code=protocol.METHOD_NOT_FOUND)


def _values(request: Request, name: str) -> list[str]:
    """The values of a header, without the white space around them (RFC 9110 section 5.5)."""
    return [value.decode("latin-1").strip(" \t") for value in request.every(name.lower().encode())]


def mismatch(reason: str) -> Refusal:
    return Refusal(400, reason, code=protocol.HEADER_MISMATCH)


def legacy_only(request: Request, versions: Sequence[str]) -> Refusal:
    """400 without a code of the modern era: on this, and only on this, clients fall back to `initialize`."""
    asked = request.one(b"mcp-protocol-version")[:50]
    return Refusal(400, f"Unsupported protocol version {asked}; supported: {', '.join(versions)}.")


def modern_only(asked: str, versions: Sequence[str]) -> Refusal:
    message = f"This server speaks {', '.join(versions)}, which have no initialize."
    about = {"supported": list(versions), "requested": asked[:50]}
    return Refusal(400, message, code=protocol.UNSUPPORTED_VERSION, data=about)


def post_only() -> Refusal:
    return errors.method_not_allowed("POST")
