"""JSON-RPC as bytes on a wire: parsed to route it, and passed on as it came wherever that is possible."""

from __future__ import annotations

import json
from typing import Any, Dict, Optional, Tuple, Union

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_GONE = -32000
HEADER_MISMATCH = -32020
MISSING_CLIENT_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022
REQUEST_CANCELLED = -32800

Message = Dict[str, Any]
RequestId = Union[int, str]
Key = Tuple[type, Union[int, str, None]]  # 1 and "1" are two ids


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_strict = json.JSONDecoder(parse_constant=_refuse_constant)


def decode(body: bytes) -> Any:
    """Parses a client's body. Raises `ValueError` for what is not JSON in UTF-8."""
    try:
        return _strict.decode(body.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def one_line(body: bytes, message: Message) -> bytes:
    """The body as the one line that stdio framing asks for: the same bytes, if they are one already."""
    return encode(message) if b"\n" in body or b"\r" in body else body


def parse_line(line: bytes) -> Optional[Message]:
    """One line of a server's stdout, or None if it is not a JSON-RPC message."""
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return message if is_message(message) else None


def is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def is_request(message: Message) -> bool:
    return isinstance(message.get("method"), str) and is_id(message.get("id"))


def is_notification(message: Message) -> bool:
    return isinstance(message.get("method"), str) and "id" not in message


def is_response(message: Message) -> bool:
    return "method" not in message and ("result" in message or "error" in message)


def key(request_id: Any) -> Key:
    """To find a request by its id. Nothing is found by what is not an id."""
    return type(request_id), request_id if is_id(request_id) else None


def is_message(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        return False
    return is_request(value) or is_notification(value) or is_response(value)


def params(message: Message) -> Dict[str, Any]:
    value = message.get("params")
    return value if isinstance(value, dict) else {}


def meta(message: Message) -> Dict[str, Any]:
    value = params(message).get("_meta")
    return value if isinstance(value, dict) else {}


def progress_token(message: Message) -> Optional[RequestId]:
    token = meta(message).get("progressToken")
    return token if is_id(token) else None


def error(code: int, text: str, request_id: Optional[RequestId] = None, data: Any = None) -> bytes:
    detail: Dict[str, Any] = {"code": code, "message": text}
    if data is not None:
        detail["data"] = data
    return encode({"jsonrpc": "2.0", "id": request_id, "error": detail})


def cancelled(request_id: RequestId, reason: str) -> bytes:
    return encode(
        {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": request_id, "reason": reason},
        }
    )
