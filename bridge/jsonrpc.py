"""Parses and writes JSON-RPC 2.0 messages. The bridge parses them to route them, and passes on the bytes that
came where that is possible.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Dict, Optional, Tuple, Union

Message = Dict[str, Any]
RequestId = Union[int, str]
Key = Tuple[type, Union[int, str, None]]  # with the type, because 1 and "1" are different ids


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_NUMBER = re.compile(r"(-?\d{1,18})(?:\.0+)?$", re.ASCII)
_strict = json.JSONDecoder(parse_constant=_refuse_constant)


def decode(body: bytes) -> Any:
    """The value of a JSON document. Raises `ValueError` for bytes that are not JSON in UTF-8 (RFC 8259)."""
    try:
        return _strict.decode(body.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def encode(message: Message) -> bytes:
    """The message as JSON on one line. NaN and infinities become null, as in the MCP SDK for Python."""
    try:
        text = json.dumps(message, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(message), separators=(",", ":"))
    return text.encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_finite(held) for held in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def one_line(body: bytes, message: Message) -> bytes:
    """The body on one line, as stdio needs it (MCP, "stdio"): unchanged where it is one line already."""
    return encode(message) if b"\n" in body or b"\r" in body else body


def is_id(value: Any) -> bool:
    """Whether a value can be an id. 1.0 counts as the integer 1: JSON has one type for both."""
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def is_request(message: Message) -> bool:
    return isinstance(message.get("method"), str) and is_id(message.get("id"))


def is_notification(message: Message) -> bool:
    return isinstance(message.get("method"), str) and "id" not in message


def is_response(message: Message) -> bool:
    return "method" not in message and ("result" in message or "error" in message)


def key(request_id: Any) -> Key:
    """The key for a dict of requests by id. A value that is no id gets a key that no request has."""
    if not is_id(request_id):
        return type(None), None
    return (str, request_id) if isinstance(request_id, str) else (int, int(request_id))


def in_other_type(of: Key) -> Key:
    """The key of the same id in the other type: of "1" for 1, and of 1 for "1"."""
    kind, held = of
    if kind is int:
        return str, str(held)
    number = _NUMBER.match(held) if isinstance(held, str) else None
    return (int, int(number[1])) if number else (type(None), None)


def is_same(one: Any, other: Any) -> bool:
    """Whether two ids are equal and have the same type."""
    return key(one) == key(other) and isinstance(one, float) == isinstance(other, float)


def refers_to(named: Any, request_id: Any) -> bool:
    """Whether `named`, an id or a token in a message of the server, is `request_id`, in either type."""
    of = key(named)
    return is_id(request_id) and key(request_id) in (of, in_other_type(of))


def is_message(value: Any) -> bool:
    """Whether a value is one request, notification or response (JSON-RPC 2.0, sections 4 and 5)."""
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        return False
    return is_request(value) or is_notification(value) or is_response(value)


def params(message: Message) -> Dict[str, Any]:
    """The named parameters; {} without any."""
    value = message.get("params")
    return value if isinstance(value, dict) else {}


def meta(message: Message) -> Dict[str, Any]:
    value = params(message).get("_meta")
    return value if isinstance(value, dict) else {}


def progress_token(message: Message) -> Optional[RequestId]:
    token = meta(message).get("progressToken")
    return token if is_id(token) else None


def error(code: int, text: str, request_id: Optional[RequestId] = None, data: Any = None) -> bytes:
    """An error response (JSON-RPC 2.0, section 5.1). The id is null where it is not known."""
    detail: Dict[str, Any] = {"code": code, "message": text}
    if data is not None:
        detail["data"] = data
    return encode({"jsonrpc": "2.0", "id": request_id, "error": detail})


def cancelled(request_id: RequestId, reason: str) -> bytes:
    """The notification that cancels a request (2025-11-25, "Cancellation")."""
    return encode(
        {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": request_id, "reason": reason},
        }
    )
