"""Checks JSON values that users send: not nested too deep, and without NUL, which PostgreSQL cannot store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

DEEPEST = 64
NUL, DEEP = "Must not hold NUL characters.", f"Must not be nested deeper than {DEEPEST} levels."


class Flaw(NamedTuple):
    """What is wrong, as a sentence, and the keys and indexes that lead to it."""

    path: tuple[str, ...]
    sentence: str


def flaw_in(value: Any) -> Flaw | None:
    """Returns the first flaw of a parsed JSON value, or None."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while waiting:
        path, here = waiting.pop()
        if isinstance(here, str):
            if "\x00" in here:
                return Flaw(path, NUL)
        elif isinstance(here, (dict, list)):
            if len(path) >= DEEPEST:
                return Flaw(path[:1], DEEP)
            if isinstance(here, dict) and any("\x00" in key for key in here):
                return Flaw(path, NUL)
            waiting += [((*path, str(key)), one) for key, one in _items(here)]
    return None


def _items(held: dict[str, Any] | list[Any]) -> Iterable[tuple[Any, Any]]:
    return held.items() if isinstance(held, dict) else enumerate(held)
