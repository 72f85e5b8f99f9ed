"""Takes out of a text what nobody may read, and what a screen or a database would trip over."""

from __future__ import annotations

import re

MAX_MESSAGE = 4_000

_SECRETS = (
    (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+@"), ""),
    (re.compile(r"\beyJ[\w-]+\.[\w-]*(?:\.[\w-]*)?"), "[redacted]"),
    (re.compile(r"(authorization[\"']?\s*[=:]\s*[\"']?\w+ +)[^\s\"']+", re.IGNORECASE), r"\1[redacted]"),
    (re.compile(r"\b(Basic|Bearer) +(?=\S*[\d+/=])[\w.~+/=-]{6,}", re.IGNORECASE), r"\1 [redacted]"),
    (
        re.compile(
            r"((?:password|passwd|secret|token|signature|credential|_state)"
            r"(?:\s*=\s*[\"']?|[\"']\s*:\s*[\"']|\s*:\s*(?=\S*\d)))"
            r"(?!\[redacted\])[\w.~+/=%-]{8,}",
            re.IGNORECASE,
        ),
        r"\1[redacted]",
    ),
)


def redact(text: str) -> str:
    """Takes out what looks like a secret: URL passwords, JWTs, Authorization values, signed query strings.

    And what no database keeps and no terminal should obey: a registry's answer may hold anything.
    """
    text = visible(text.replace("\x00", "").encode(errors="replace").decode(), keep="\n\t")
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def visible(text: str, keep: str = "") -> str:
    """`text` with each character that would act and not show (controls, marks of direction) as an escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
