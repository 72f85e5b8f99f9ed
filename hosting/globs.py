"""Matches the patterns with `*` that users type in, in linear time.

Regular expressions are not used, because a hostile pattern could make one take exponential time.

A pattern becomes a sequence of steps, and several patterns one longer sequence. An integer holds one bit for
each step that may come next, and each character of the text moves all bits at once (Baeza-Yates and Gonnet, A
New Approach to Text Searching, 1992). The time is the length of the text times the length of the patterns in
machine words, for every text and every pattern.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

MOST_KEPT = 128  # characters whose result is cached


@dataclass(frozen=True)
class Chars:
    """A set of characters: the listed ones and those within `ranges`; all others where `negated`."""

    listed: frozenset[str] = frozenset()
    ranges: tuple[tuple[str, str], ...] = ()
    negated: bool = False

    def __contains__(self, char: str) -> bool:
        found = char in self.listed or any(low <= char <= high for low, high in self.ranges)
        return found != self.negated


ANY = Chars(negated=True)
SLASH = Chars(frozenset("/"))
ALL_BUT_SLASH = Chars(frozenset("/"), negated=True)
NONE = Chars()


@dataclass(frozen=True)
class Step:
    """One state of the automaton. A character in `leaves` leads to the next step, and one in `stays` leads to
    this step again. `skips` says how many steps may be skipped without a character.
    """

    leaves: Chars = NONE
    stays: Chars = NONE
    skips: tuple[int, ...] = ()


Row = Sequence[Step]


class Globs:
    """Matches a text against several patterns, each a sequence of steps."""

    def __init__(self, rows: Iterable[Row]) -> None:
        steps: list[Step] = []
        self._begin = self._end = 0
        for row in rows:
            self._begin |= 1 << len(steps)
            steps += [*row, Step()]
            self._end |= 1 << (len(steps) - 1)
        self._skips = _skips(steps)
        self._leaving = _Moves([step.leaves for step in steps])
        self._staying = _Moves([step.stays for step in steps])

    def match(self, text: str) -> bool:
        """Whether one of the patterns matches the whole text."""
        at = self._skipped(self._begin)
        for char in text:
            if not at:
                return False
            at = self._skipped((at & self._leaving.of(char)) << 1 | at & self._staying.of(char))
        return bool(at & self._end)

    def _skipped(self, at: int) -> int:
        before = -1
        while at != before:
            before = at
            for far, steps in self._skips:
                at |= (at & steps) << far
        return at


class _Moves:
    """Tells as a bit set which steps accept a character."""

    def __init__(self, taken: Sequence[Chars]) -> None:
        self._taken = taken
        self._others = sum(1 << at for at, chars in enumerate(taken) if chars.negated)
        self._naming: dict[str, list[int]] = defaultdict(list)
        for at, chars in enumerate(taken):
            for char in chars.listed:
                self._naming[char].append(at)
        self._with_ranges = [at for at, chars in enumerate(taken) if chars.ranges]
        self._kept: dict[str, int] = {}

    def of(self, char: str) -> int:
        known = self._kept.get(char)
        if known is None:
            known = self._found(char)
            if len(self._kept) < MOST_KEPT:
                self._kept[char] = known
        return known

    def _found(self, char: str) -> int:
        found = self._others
        for at in (*self._naming.get(char, ()), *self._with_ranges):
            found = found | 1 << at if char in self._taken[at] else found & ~(1 << at)
        return found


def _skips(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """Pairs of a distance and the bit set of the steps that may skip so far."""
    found: dict[int, int] = defaultdict(int)
    for at, step in enumerate(steps):
        for far in step.skips:
            found[far] |= 1 << at
    return list(found.items())


@lru_cache(maxsize=64)
def of_paths(patterns: tuple[str, ...]) -> Globs:
    """Patterns for file paths. `*` and `?` match within a segment, `**` matches across segments. A trailing
    slash stands for everything below that directory.
    """
    return Globs([list(_path_steps(pattern)) for pattern in patterns])


@lru_cache(maxsize=256)
def of_names(patterns: tuple[str, ...]) -> Globs:
    """Patterns for names, as of Python's fnmatch: `*`, `?`, `[abc]`, `[a-z]`, `[!abc]` (POSIX, XCU 2.13)."""
    return Globs([list(_name_steps(pattern)) for pattern in patterns])


def _path_steps(pattern: str) -> Iterator[Step]:
    left = pattern.removeprefix("/") + ("**" if pattern.endswith("/") else "")
    while left:
        if left.startswith("**/"):
            yield from (Step(skips=(1, 2)), Step(leaves=SLASH, stays=ANY))
            left = left[3:]
        elif left.startswith("**"):
            yield Step(stays=ANY, skips=(1,))
            left = left[2:]
        else:
            yield _within_segment(left[0])
            left = left[1:]


def _within_segment(char: str) -> Step:
    if char == "*":
        return Step(stays=ALL_BUT_SLASH, skips=(1,))
    return Step(leaves=ALL_BUT_SLASH) if char == "?" else _just(char)


def _name_steps(pattern: str) -> Iterator[Step]:
    at = 0
    while at < len(pattern):
        char, end = pattern[at], at
        if char == "*":
            yield Step(stays=ANY, skips=(1,))
        elif char == "?":
            yield Step(leaves=ANY)
        elif char == "[" and (end := _end_of_class(pattern, at + 1)):
            yield Step(leaves=_class(pattern[at + 1 : end]))
        else:
            end = at
            yield _just(char)
        at = end + 1


@lru_cache(maxsize=256)
def _just(char: str) -> Step:
    return Step(leaves=Chars(frozenset(char)))


def _end_of_class(pattern: str, begin: int) -> int:
    """The index of the closing bracket, 0 without one. A bracket in the first place belongs to the set."""
    first = begin + pattern.startswith("!", begin)
    return max(0, pattern.find("]", first + 1))


def _class(text: str) -> Chars:
    """The set for the text between brackets. A range such as `z-a` holds no character."""
    negated = text.startswith("!")
    left = text.removeprefix("!")
    listed: set[str] = set()
    ranges: list[tuple[str, str]] = []
    while left:
        if len(left) > 2 and left[1] == "-":
            ranges.append((left[0], left[2]))
            left = left[3:]
        else:
            listed.add(left[0])
            left = left[1:]
    return Chars(frozenset(listed), tuple(ranges), negated)
