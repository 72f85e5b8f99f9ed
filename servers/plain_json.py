"""JSON that can be kept and walked: not nested without end, without NUL, which PostgreSQL does not store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

DEEPEST = 64
NUL, DEEP = "Must not hold NUL characters.", f"Must not be nested deeper than {DEEPEST} levels."


class Flaw(NamedTuple):
    """`path` has the keys and indexes that lead to it."""

    path: tuple[str, ...]
    sentence: str


def flaw_in(value: Any) -> Flaw | None:
    """The first that is found in a value out of a JSON parser; None for one that is plain."""
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
