"""Takes secrets out of text before it reaches a log, an event or a screen."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"
_URL_USER = re.compile(r"(?<=://)[^/\s@:]*:[^/\s@]+(?=@)")
_TOKEN = re.compile(r"(?<=mcph_)[\w-]{20,}")
# Shorter values would mask ordinary words, and protect nothing that can be guessed.
SHORTEST = 6


class Redactor:
    """Masks the given values, user names with passwords in URLs, and tokens of this platform.

    Leaves out what no database keeps: NUL, halves of surrogate pairs.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        parts = {part for value in values for part in value.splitlines() if len(part) >= SHORTEST}
        ordered = sorted(parts, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        text = text.replace("\x00", "").encode(errors="replace").decode()  # as databases take it
        if self._values:
            text = self._values.sub(MASK, text)
        return _TOKEN.sub(MASK, _URL_USER.sub(MASK, text))
