"""Reads the options before a program's first plain word, like common parsers of command lines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple


class Given(NamedTuple):
    """An option. `value` is None for a flag."""

    name: str
    value: str | None = None


def split(
    words: Sequence[str], valued: Collection[str], *, letters: str = "", flags: Collection[str] = ()
) -> tuple[list[Given], list[str]]:
    """Returns the options, and the words from the first plain word or after `--`.

    `valued` take a value. `letters` are one-letter options with a value, which may be joined to it or to
    other letters (`-itp 80`, `-eNAME`). An option that is neither in `valued` nor in `flags` counts as a
    flag.
    """
    found: list[Given] = []
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            return found, list(words[at + 1 :])
        if not word.startswith("-") or word == "-":
            return found, list(words[at:])
        at += 1
        name, equals, value = word.partition("=")
        if name in flags or (not equals and word in flags):
            found.append(Given(name, value if equals else None))
        elif name in valued and equals:
            found.append(Given(name, value))
        elif word in valued:
            found.append(Given(word, words[at] if at < len(words) else ""))
            at += 1
        elif not word.startswith("--") and len(word) > 2 and all(f"-{sign}" in flags for sign in word[1:]):
            found += [Given(f"-{sign}") for sign in word[1:]]
        elif not word.startswith("--") and (cut := _letter(word, letters)):
            found += [Given(f"-{each}") for each in word[1:cut]]
            glued = word[cut + 1 :].removeprefix("=")
            found.append(Given(f"-{word[cut]}", glued or (words[at] if at < len(words) else "")))
            at += not glued
        else:
            found.append(Given(name, value if equals else None))
    return found, []


def _letter(word: str, letters: str) -> int:
    """Returns the index of the first letter that takes a value; 0 if there is none."""
    return next((n for n, sign in enumerate(word) if n and sign in letters), 0)
