"""Finds the log level that a line of output names, in the formats that loggers commonly use. Pure."""

from __future__ import annotations

import re

LEVELS = ("debug", "info", "warning", "error")
LOOKED_AT = 200  # characters: a level is near the beginning
_NAMES = {
    "trace": "debug", "debug": "debug", "dbg": "debug", "verbose": "debug",
    "info": "info", "inf": "info", "information": "info", "notice": "info",
    "warn": "warning", "wrn": "warning", "warning": "warning",
    "error": "error", "err": "error", "critical": "error", "crit": "error", "fatal": "error",
    "panic": "error", "alert": "error", "emerg": "error", "severe": "error",
}  # fmt: skip
_NUMBERS = {10: "debug", 20: "debug", 30: "info", 40: "warning", 50: "error", 60: "error"}  # pino, bunyan
_WORDS = "|".join(sorted(_NAMES, key=len, reverse=True))
_KEY = re.compile(r"""["']?\b(?:level|levelname|severity|lvl)["']?\s*[:=]\s*["']?(\w+)""", re.IGNORECASE)
_CAPITALS = re.compile(rf"(?<![\w.-])({_WORDS.upper()})(?![\w.-])")
_TIME = r"[\dTZ:.,/+-]{5,}"
# At the beginning: "[error] …", "warn: …". After a time or “npm”, no mark is needed: "12:01:00 warn …".
_FIRST = re.compile(
    rf"^\W*(?:({_WORDS})[\]):!|>-]|(?:(?:{_TIME}\W+){{1,2}}|npm\W+)({_WORDS})\b)", re.IGNORECASE
)
_RAISED = re.compile(r"^(?:Traceback \(most recent call last\)|[\w.]*(?:Error|Exception)\b(?:: |$))")
_WARNED = re.compile(r"\b\w*Warning: ")


def level_of(text: str) -> str:
    """Returns one of `LEVELS`, or "" if the line names none.

    Whether a line came from stderr says nothing, because servers that speak stdio log all there.
    """
    start = text[:LOOKED_AT]
    if (named := _KEY.search(start)) and (level := _known(named[1])):
        return level
    if found := _FIRST.search(start) or _CAPITALS.search(start):
        return _known(str(found[found.lastindex or 0]))
    if _RAISED.search(start):
        return "error"
    return "warning" if _WARNED.search(start) else ""


def at_least(level: str) -> tuple[str, ...]:
    """Returns this level and the higher ones. Raises `ValueError` for an unknown one."""
    return LEVELS[LEVELS.index(level) :]


def _known(value: str) -> str:
    """Returns the level of a number or word, "" for any other.

    `isdecimal` and not `isdigit`: a server may write “²”, which `int` does not read.
    """
    return _NUMBERS.get(int(value), "") if value.isdecimal() else _NAMES.get(value.lower(), "")
