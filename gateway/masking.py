"""Prepares arguments and results for storage: masks what looks like a secret, and cuts long texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from gateway.calls import Content
from redaction.redactor import Redactor
from redaction.rules import MASK, is_secret_name

LONGEST_TEXT = 1000
LOOKED_AT = 8 * LONGEST_TEXT
LARGEST = 8 * 1024  # bytes of JSON, each for arguments and result
DEEPEST = 12
Redact = Callable[[str], str]


def shown(content: Content, redact: Redactor) -> dict[str, Any]:
    """Returns `arguments` and `result` for the metric's details; None for what is not known."""
    return {
        "arguments": _fitting(_cleaned(content.arguments, redact.strictly, 0)),
        "result": _fitting(_cleaned(content.result, redact.strictly, 0)),
    }


def _cleaned(value: Any, redact: Redact, depth: int) -> Any:
    if depth > DEEPEST:
        return "…"
    if isinstance(value, str):
        return _text(value, redact)
    if isinstance(value, list):
        return [_cleaned(each, redact, depth + 1) for each in value]
    if isinstance(value, dict):
        return {_text(key, redact): _member(key, each, redact, depth) for key, each in value.items()}
    return value


def _member(key: str, value: Any, redact: Redact, depth: int) -> Any:
    return MASK if is_secret_name(key) else _cleaned(value, redact, depth + 1)


def _text(text: str, redact: Redact) -> str:
    """Masks before it cuts: half a secret would not be recognised."""
    masked = redact(text[:LOOKED_AT])
    return masked if len(masked) <= LONGEST_TEXT else masked[:LONGEST_TEXT] + "…"


def _fitting(value: Any) -> Any:
    size = len(orjson.dumps(value))
    return value if size <= LARGEST else {"omitted_bytes": size}
