"""Cleans pasted text of what word processors and terminals add, and cuts it into blocks."""

from __future__ import annotations

import re

LARGEST = 64 * 1024  # bytes of UTF-8
MOST_BLOCKS = 60
# Quotes and blanks that word processors and chat programs put in place of plain ones.
_ODD: dict[int, str | None] = {
    **dict.fromkeys(map(ord, "“”„‟″«»"), '"'),
    **dict.fromkeys(map(ord, "‘’‚‛′"), "'"),
    **dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u2009\u3000\t"), " "),
    **dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"), None),
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FENCE = re.compile(r"[ >]*(```|~~~)")


def tidy(text: str) -> str:
    """Makes line ends and spaces plain, and removes control characters. Quotation marks stay as they are."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    blanks = {code: to for code, to in _ODD.items() if to != '"' and to != "'"}
    return _CONTROL.sub("", lines.translate(blanks))


def plain_quotes(text: str) -> str:
    """Replaces typographic quotation marks and spaces by plain ones."""
    return text.translate(_ODD)


def blocks(text: str) -> list[str]:
    """Returns the texts between fences (``` or ~~~), or []. A fence that is not closed ends with the text."""
    found: list[str] = []
    within: list[str] | None = None
    for line in text.split("\n"):
        if not _FENCE.match(line):
            if within is not None:
                within.append(line)
        elif within is None:
            within = []
        else:
            found.append("\n".join(within))
            within = None
    return [*found, *(["\n".join(within)] if within else [])][:MOST_BLOCKS]


def outside(text: str) -> str:
    """Returns the text before, between and after the fences."""
    kept: list[str] = []
    within = False
    for line in text.split("\n"):
        if _FENCE.match(line):
            within = not within
        elif not within:
            kept.append(line)
    return "\n".join(kept)
