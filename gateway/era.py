"""Applies the rules of the two protocol eras, which share one URL, where caller and server differ.

Revisions up to 2025-11-25 begin with `initialize`. From 2026-07-28 on, each request carries its version, in
the header and in the body. A server checks the rules of its own era itself. Here is what it cannot check, and
the comparison of headers and body, on which the gateway's records and policies rely.
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
    """Tells the era by the header alone, as servers do: an unknown version counts as modern."""
    version = request.one(b"mcp-protocol-version")
    return bool(version) and protocol.is_modern(version)


def check(request: Request, message: Message | None, era: str, versions: Sequence[str]) -> None:
    """Raises the `Refusal` for a request that the server's `era` does not allow; "" means an unknown era.

    `message` is the body if it is one JSON-RPC object, `versions` are the server's.
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
    """Checks a long body by the members that `body_scan` found in it; None means that it cannot be compared.

    Raises `Refusal`.
    """
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
    """Raises `Refusal` if headers and body disagree, or for a method that the modern era has removed.

    A request without the modern envelope is left to the server, which refuses it first by the specification.
    """
    said = meta(message)
    if protocol.VERSION_KEY not in said or protocol.CAPABILITIES_KEY not in said:
        return
    if header := agreement.disagreement(lambda name: _values(request, name), message):
        raise mismatch(f"The {header} header is repeated or does not match the body.")
    if message["method"] in REMOVED:
        text = f"{message['method']} is not part of protocol version {said[protocol.VERSION_KEY]}."
        raise Refusal(404, text, code=protocol.METHOD_NOT_FOUND)


def _values(request: Request, name: str) -> list[str]:
    """Returns the values of a header without surrounding white space (RFC 9110, 5.5)."""
    return [value.decode("latin-1").strip(" \t") for value in request.every(name.lower().encode())]


def mismatch(reason: str) -> Refusal:
    """Returns the refusal for a header that does not match the body (2026-07-28, Streamable HTTP)."""
    return Refusal(400, reason, code=protocol.HEADER_MISMATCH)


def legacy_only(request: Request, versions: Sequence[str]) -> Refusal:
    """Returns the refusal for a modern request at an older server: 400 without a code of the modern era.

    Only on such an answer do clients fall back to `initialize`.
    """
    asked = request.one(b"mcp-protocol-version")[:50]
    return Refusal(400, f"Unsupported protocol version {asked}; supported: {', '.join(versions)}.")


def modern_only(asked: str, versions: Sequence[str]) -> Refusal:
    """Returns the refusal for an `initialize` at a modern server; `asked` is the version that the client
    wants.
    """
    message = f"This server speaks {', '.join(versions)}, which have no initialize."
    about = {"supported": list(versions), "requested": asked[:50]}
    return Refusal(400, message, code=protocol.UNSUPPORTED_VERSION, data=about)


def post_only() -> Refusal:
    """Returns the refusal for GET or DELETE in the modern era, which has only POST."""
    return errors.method_not_allowed("POST")
