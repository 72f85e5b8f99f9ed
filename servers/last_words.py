"""What a server or a build wrote last, for the sentence that says why it failed."""

from __future__ import annotations

import re
from collections.abc import Iterable

LOOK_BACK = 50  # what is restarted a few times says the same each time
OF_THE_BRIDGE = "bridge: "
MARKS = frozenset("~^")  # below the code in a traceback: beside other lines they point at nothing
LONGEST = 500
NOT_FOUND = r"(?:ModuleNotFoundError: No module named|Cannot find (?:module|package))"
MISSING = re.compile(NOT_FOUND + r" '(?P<name>[^'\x00-\x1f]{1,120})'")
# What a program asks of a package in words of another version of it.
OTHER_VERSION = re.compile(
    r"(?:ImportError: cannot import name '(?P<import>[^'\x00-\x1f]{1,80})' from '(?P<module>[\w.]{1,80})'"
    r"|AttributeError: (?P<owner>module '[\w.]{1,80}'|type object '\w{1,80}'|'\w{1,80}' object) has no "
    r"attribute '(?P<attribute>\w{1,80})'"
    r"|TypeError: (?P<callee>[\w.]{1,80})\(\) got an unexpected keyword argument '(?P<keyword>\w{1,80})'"
    r"|The requested module '(?P<source>[^'\x00-\x1f]{1,80})' does not provide an export named "
    r"'(?P<export>[\w$]{1,80})')"
)
HEADING = "Traceback (most recent call last):"


def last_words(lines: Iterable[str], count: int) -> list[str]:
    """The last `count` of the lines, each once; the bridge's own only where the server wrote nothing.

    `lines` in the order in which they were written.
    """
    newest = [text for line in lines if (text := line.strip()) and not _says_nothing(text)][::-1]
    own = [line for line in newest if not line.startswith(OF_THE_BRIDGE)]
    return list(dict.fromkeys(own or newest))[:count][::-1]


def missing_module(lines: Iterable[str]) -> str:
    """The module or package that a program did not find: Python's words, and those of Node."""
    newest = next((found for line in lines if (found := MISSING.search(line[:LONGEST]))), None)
    return newest["name"] if newest else ""


def other_version(lines: Iterable[str]) -> str:
    """What an installed package does not have, as `'Server' object: list_resources`; "" for nothing."""
    newest = next((found for line in lines if (found := OTHER_VERSION.search(line[:LONGEST]))), None)
    if newest is None:
        return ""
    told = newest.groupdict()
    whose = told["module"] or told["owner"] or told["callee"] or told["source"]
    return f"{whose}: {told['import'] or told['attribute'] or told['keyword'] or told['export']}"


def _says_nothing(text: str) -> bool:
    return text == HEADING or MARKS.issuperset(text)
