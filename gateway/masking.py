"""Arguments and results as they may be kept: what looks like a secret is masked, what is long is cut."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from gateway.calls import Content
from hosting.redaction import MASK, Redactor

LONGEST_TEXT = 1000
LOOKED_AT = 8 * LONGEST_TEXT
LARGEST = 8 * 1024  # bytes of JSON, for arguments and for the result each
DEEPEST = 12
_KEY = re.compile(
    r"pass(word|wd|phrase|code)|passwd|\bpwd\b|secret|token|api[-_ ]?key|authorization|credential|cookie|"
    r"(private|access|signing|encryption)[-_ ]?key|session[-_ ]?id|signature|\botp\b|\bpin\b",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # JWT
    r"|\b(?:sk|pk|rk)[-_][\w-]{16,}"
    r"|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abeprs]-[\w-]{10,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}|\bnpm_\w{30,}|\bpypi-[\w-]{30,}"
    r"|(?i:(?<=bearer )|(?<=basic ))[\w.~+/=-]{8,}",
    re.DOTALL,
)
# Text of a result is often JSON, a setting or a header itself: a name, a colon or an equals sign, the value.
# Bounds keep it linear on text without spaces.
_NAMED = re.compile(
    r"(?i)((?<![\w-])[\w-]{0,40}?(?:password|passwd|secret|token|api[-_]?key|authorization|credential)[\w-]{0,40}"
    r"""\\?["']?\s{0,4}[:=]\s{0,4})(\\"(?:[^"\\]|\\[^"])*\\"|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&"'}\])]+)"""
)
Redact = Callable[[str], str]


def shown(content: Content, redact: Redactor) -> dict[str, Any]:
    """`arguments` and `result` for the metric's details; null where nothing is known of them."""
    return {
        "arguments": _fitting(_cleaned(content.arguments, redact, 0)),
        "result": _fitting(_cleaned(content.result, redact, 0)),
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
    return MASK if _KEY.search(key) else _cleaned(value, redact, depth + 1)


def _text(text: str, redact: Redact) -> str:
    """Masked before it is cut: half a secret would not be recognised. PostgreSQL's JSON takes no NUL."""
    masked = _NAMED.sub(rf"\1{MASK}", _VALUE.sub(MASK, redact(text[:LOOKED_AT]))).replace("\x00", "")
    return masked if len(masked) <= LONGEST_TEXT else masked[:LONGEST_TEXT] + "…"


def _fitting(value: Any) -> Any:
    size = len(orjson.dumps(value))
    return value if size <= LARGEST else {"omitted_bytes": size}
