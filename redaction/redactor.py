"""Masks values that are known to be secret, and then all that looks like a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from redaction.rules import MASK, without_doubt, without_secrets

# Shorter values would mask ordinary words, and protect nothing that can be guessed.
SHORTEST = 6


class Redactor:
    """Called with a text of a program (a log, an error, output), it returns the text as it may be kept.

    Leaves out what no database keeps: NUL, halves of surrogate pairs.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        """`values` are masked wherever they stand, line by line, also as URLs and JSON write them."""
        lines = {line for value in values for line in value.splitlines() if len(line) >= SHORTEST}
        ordered = sorted({form for line in lines for form in _written(line)}, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        return without_secrets(self._known(text))

    def of_people(self, text: str) -> str:
        """The same for arguments and results of calls, where less is taken for an ordinary word."""
        return without_doubt(self._known(text))

    def _known(self, text: str) -> str:
        text = text.replace("\x00", "").encode(errors="replace").decode()  # as databases take it
        return self._values.sub(MASK, text) if self._values else text


def _written(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="")
    yield quote(value)
    yield quote_plus(value)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
