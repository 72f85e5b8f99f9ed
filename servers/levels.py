"""The level that a line of output claims for itself, as far as the common ways of writing one go. Pure."""

from __future__ import annotations

import re

LEVELS = ("debug", "info", "warning", "error")
LOOKED_AT = 200  # characters: a level stands near the beginning
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
# At the beginning: "[error] …", "warn: …"; after a time or npm's name without a mark too: "12:01:00 warn …".
_FIRST = re.compile(
    rf"^\W*(?:({_WORDS})[\]):!|>-]|(?:(?:{_TIME}\W+){{1,2}}|npm\W+)({_WORDS})\b)", re.IGNORECASE
)
_RAISED = re.compile(r"^(?:Traceback \(most recent call last\)|[\w.]*(?:Error|Exception)\b(?:: |$))")
_WARNED = re.compile(r"\b\w*Warning: ")


def level_of(text: str) -> str:
    """One of `LEVELS`, or "" where the line names none: stderr alone means nothing, servers log there."""
    start = text[:LOOKED_AT]
    if (named := _KEY.search(start)) and (level := _known(named[1])):
        return level
    if found := _FIRST.search(start) or _CAPITALS.search(start):
        return _known(str(found[found.lastindex or 0]))
    if _RAISED.search(start):
        return "error"
    return "warning" if _WARNED.search(start) else ""


def at_least(level: str) -> tuple[str, ...]:
    """The levels from this one on. Raises `ValueError` for a word that is none."""
    return LEVELS[LEVELS.index(level) :]


def _known(value: str) -> str:
    """Whatever a server writes: ² is a digit and no number; letters beyond ASCII match without their case."""
    return _NUMBERS.get(int(value), "") if value.isdecimal() else _NAMES.get(value.lower(), "")
