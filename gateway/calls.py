"""What is recorded of a call. Arguments and results are recorded only if the server's settings ask for it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from bridge.protocol import CLIENT_KEY, FIRST_MODERN, VERSION_KEY
from gateway.request import Request

LONGEST = 200
UNKNOWN = "unknown"  # the method of a call that cannot be read


class Outcome(StrEnum):
    """How a call ended, as the telemetry contract names it."""

    OK = "ok"
    INPUT_REQUIRED = "input_required"
    RPC_ERROR = "rpc_error"
    TOOL_ERROR = "tool_error"
    HTTP_ERROR = "http_error"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


@dataclass
class Content:
    """Parsed arguments and result; None if they were too long to read."""

    arguments: Any = None
    result: Any = None


@dataclass(slots=True)
class Call:
    """The record of one exchange. It counts as a call (`counts`) if it carries a JSON-RPC request.

    `content` None: arguments and result are not recorded. `deployment_id` 0: it reached no deployment.
    `outcome` is CANCELLED until the end of the call is known, since the process may stop. `began`,
    `first_byte` and `ended` are `time.perf_counter()` seconds.
    """

    server_id: int
    token_id: int
    token: str
    deployment_id: int = 0
    run_id: int = 0
    replica: str = ""
    counts: bool = False
    messages: int = 1
    request_id: Any = None
    method: str = ""
    name: str = ""
    version: str = ""
    client: str = ""
    status: int = 0
    outcome: Outcome = Outcome.CANCELLED
    bytes_in: int = 0
    bytes_out: int = 0
    sse_messages: int = 0
    cold_start: bool = False
    content: Content | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.perf_counter)
    first_byte: float = 0.0
    ended: float = 0.0

    def details(self) -> dict[str, Any]:
        """Returns the contract's details of `mcp_call`: times in ms, sizes in bytes, "" for what is not
        known.
        """
        modern = self.version >= FIRST_MODERN
        return {
            "method": self.method,
            "name": self.name,
            "era": "modern" if modern else "legacy",
            "protocol_version": self.version,
            "client": self.client,
            "token": self.token,
            "outcome": str(self.outcome),
            "status": self.status,
            "duration_ms": self._ms(self.ended),
            "first_byte_ms": self._ms(self.first_byte or self.ended),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "sse_messages": self.sse_messages,
            "cold_start": self.cold_start,
        }

    def _ms(self, moment: float) -> int:
        return round((moment - self.began) * 1000)


def describe(call: Call, request: Request, body: bytes | None) -> dict[str, Any] | None:
    """Sets the call's fields from the request; returns the body if it is one JSON-RPC object.

    `body` None means that it is too long, or unreadable: then the headers are used.
    """
    call.version = _text(request.one(b"mcp-protocol-version")) or call.version
    if request.method != "POST":
        return None
    if body is None:
        call.counts, call.method = True, _text(request.one(b"mcp-method")) or UNKNOWN
        call.name = _text(request.one(b"mcp-name"))
        return None
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _describe_leniently(call, body)
    return _describe_parsed(call, message)


def _describe_leniently(call: Call, body: bytes) -> dict[str, Any] | None:
    """Parses what orjson refuses but a server may accept, such as half a surrogate pair in a string."""
    try:
        message = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    found = _describe_parsed(call, message)
    if call.content:
        call.content.arguments = _storable(call.content.arguments)
    return found


def _describe_parsed(call: Call, message: Any) -> dict[str, Any] | None:
    if isinstance(message, dict):
        describe_message(call, message)
        return message
    if isinstance(message, list):
        call.counts, call.method, call.messages = True, "batch", max(1, len(message))
    return None


def describe_message(call: Call, message: dict[str, Any]) -> None:
    """Sets the call's fields from a JSON-RPC message."""
    method, params = message.get("method"), _object(message.get("params"))
    call.counts = isinstance(method, str) and "id" in message
    call.request_id = _id(message.get("id"))
    call.method = _text(method)
    call.name = _text(params.get("name") or params.get("uri"))
    meta = _object(params.get("_meta"))
    call.version = _text(call.version or meta.get(VERSION_KEY) or params.get("protocolVersion"))
    call.client = _client(_object(meta.get(CLIENT_KEY) or params.get("clientInfo"))) or call.client
    if call.content:
        call.content.arguments = params.get("arguments")


def judge(call: Call, message: dict[str, Any]) -> Outcome:
    """Returns the outcome by the status and the last message of the response; sets `content.result`."""
    if call.content:
        call.content.result = message.get("error") or message.get("result")
    if "error" in message:
        return Outcome.RPC_ERROR
    if call.status >= 400:
        return Outcome.HTTP_ERROR
    result = _object(message.get("result"))
    if result.get("resultType") == "input_required":
        return Outcome.INPUT_REQUIRED
    return Outcome.TOOL_ERROR if result.get("isError") is True else Outcome.OK


def _client(info: dict[str, Any]) -> str:
    return " ".join(filter(None, [_text(info.get("name")), _text(info.get("version"))]))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """Returns a string that can be stored: PostgreSQL's JSON takes neither NUL nor half a surrogate pair."""
    return _whole(value[:LONGEST]).replace("\x00", "") if isinstance(value, str) else ""


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _id(value: Any) -> str | int | None:
    """Returns a JSON-RPC id that can be written again; None for any other."""
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else None
    return value if isinstance(value, str) and _whole(value) == value else None


def _storable(value: Any) -> Any:
    try:
        return orjson.loads(_whole(json.dumps(value, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return None
