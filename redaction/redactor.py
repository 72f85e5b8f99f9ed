"""Masks known secret values, and then all that looks like a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from redaction.rules import MASK, without_possible_secrets, without_secrets

# Shorter values would mask ordinary words, and can be guessed anyway.
SHORTEST = 6


class Redactor:
    """A function from the text of a program (a log, an error, output) to the text to store.

    It also removes what a database does not store: NUL, and halves of surrogate pairs.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        """`values` are secrets. Each of their lines is masked, also as URLs and JSON encode it."""
        lines = {line for value in values for line in value.splitlines() if len(line) >= SHORTEST}
        ordered = sorted({form for line in lines for form in _written(line)}, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        return without_secrets(self._known(text))

    def strictly(self, text: str) -> str:
        """Masks arguments and results of calls: more than in the output of programs is taken for a secret."""
        return without_possible_secrets(self._known(text))

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
