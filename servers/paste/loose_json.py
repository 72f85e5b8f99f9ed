"""Reads JSON as READMEs show it: with comments, trailing commas, `...`, without its end or outer braces."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import orjson

from servers.paste.text import plain_quotes
from servers.plain_json import flaw_in

MOST_TRIES = 24
_MEMBER = re.compile(r'\s*"[^"\n]{1,100}"\s*:\s*[{\["]')
_OMITTED = re.compile(r"(?:\.{3}|…)\s{0,100},?")
_OBJECT = re.compile(r' {0,100}"[^"\n]{1,100}" {0,9}: {0,9}\{')


class Found(NamedTuple):
    """A value, and where it starts and ends in the text."""

    value: Any
    start: int
    end: int


def whole(text: str) -> Any:
    """Returns the value of the whole text; None if it has none, or is nested too deep."""
    text = text.strip()
    if _MEMBER.match(text):
        text = "{" + text + "}"
    return read(text).value if text[:1] in ("{", "[") else None


def find(text: str) -> list[Found]:
    """Returns the objects that begin at the start of a line, between prose or commands."""
    found: list[Found] = []
    at = tries = 0
    while at < len(text) and tries < MOST_TRIES:
        until = text.find("\n", at)
        line = text[at : until if until >= 0 else len(text)]
        if line.lstrip().startswith(("{", "//", "/*")) or _OBJECT.match(line):
            tries += 1
            one = _at(text, at)
            if isinstance(one.value, dict):
                found.append(one)
                at = max(one.end, at + 1)
                continue
        at += len(line) + 1
    return found


def _at(text: str, start: int) -> Found:
    member = _OBJECT.match(text, start)
    head = "{" if member else ""
    value, _, end = read(head + text[start:])
    return Found(value, start, start + end - len(head))


def read(text: str) -> Found:
    """Returns the first value of the text, until its closing bracket."""
    plain, end = _strict(text)
    for one in (plain, plain_quotes(plain)):
        try:
            value = orjson.loads(one)
        except orjson.JSONDecodeError:
            continue
        return Found(None if flaw_in(value) else value, 0, end)
    return Found(None, 0, end)


def _strict(text: str) -> tuple[str, int]:
    """Returns the text as strict JSON, and where it ends. Makes one pass."""
    kept: list[str] = []
    closers: list[str] = []
    at = 0
    while at < len(text):
        sign = text[at]
        if sign in '"“”':
            end = _string_end(text, at, '"' if sign == '"' else '"“”')
            kept.append(text[at:end] if sign == '"' else '"' + text[at + 1 : end - 1] + '"')
            at = end
            continue
        skipped = _skipped(text, at)
        if skipped > at:
            at = skipped
            continue
        if sign in "{[":
            closers.append("}" if sign == "{" else "]")
        elif sign in "}]":
            _drop_comma(kept)
            if not closers or closers.pop() != sign:
                return "".join(kept), at
            if not closers:
                return "".join([*kept, sign]), at + 1
        kept.append(sign)
        at += 1
    _drop_comma(kept)
    return "".join([*kept, *reversed(closers)]), at


def _string_end(text: str, at: int, ends: str) -> int:
    at += 1
    while at < len(text) and text[at] not in ends and text[at] != "\n":
        at += 2 if text[at] == "\\" else 1
    return min(at + 1, len(text))


def _skipped(text: str, at: int) -> int:
    """Returns the end of the comment or omission that begins at `at`, or `at` if there is none."""
    two = text[at : at + 2]
    if two == "//" or (text[at] == "#" and text[at - 1 : at].strip() == ""):
        end = text.find("\n", at)
        return len(text) if end < 0 else end
    if two == "/*":
        end = text.find("*/", at + 2)
        return len(text) if end < 0 else end + 2
    if text.startswith("...", at) or text[at] == "…":
        found = _OMITTED.match(text, at)
        return found.end() if found else at + 1
    return at


def _drop_comma(kept: list[str]) -> None:
    """Removes a comma before a closing bracket, with the spaces between them."""
    while kept and kept[-1].isspace():
        kept.pop()
    if kept and kept[-1] == ",":
        kept.pop()
