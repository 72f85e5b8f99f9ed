"""Reads from a program's words why it failed. The tables are where the programs are: `builder.python_errors`,
`builder.node_errors`, `why_ended`.

What programs say is theirs to choose: a sentence is a guess, and the lines stand beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from registry.reasons import Reason

Words = Mapping[str, str]


@dataclass(frozen=True)
class Cause:
    """`says` names what is wrong, `hint` what a person can do; `line` is the one that told."""

    says: str
    hint: str = ""
    reason: Reason | None = None
    line: str = ""


@dataclass(frozen=True)
class Sign:
    """`says` and `hint` may name in braces the groups of `pattern`, and those of `more`, which is looked for
    besides: where it is not found, `otherwise` is said. `also` has to be found besides.
    """

    pattern: re.Pattern[str]
    says: str
    hint: str
    reason: Reason | None
    more: re.Pattern[str] | None
    otherwise: str
    also: re.Pattern[str]


def sign(
    pattern: str,
    says: str,
    hint: str = "",
    reason: Reason | None = None,
    *,
    any_case: bool = True,
    more: str = "",
    otherwise: str = "",
    also: str = "",
) -> Sign:
    flags = re.M | (re.I if any_case else re.NOFLAG)
    further = re.compile(more, flags) if more else None
    return Sign(re.compile(pattern, flags), says, hint, reason, further, otherwise, re.compile(also, flags))


def read(
    signs: Iterable[Sign], text: str, words: Callable[[Words], Words] = dict, *, newest: bool = False
) -> Cause | None:
    """What the first sign says that `text` shows; None where it shows none of them.

    `words` makes of the groups what sentences name. `newest`: of several places the last one tells.
    """
    for each in signs:
        found = _newest(each.pattern, text) if newest else each.pattern.search(text)
        if found and each.also.search(text):
            return _cause(each, found, words)
    return None


def _cause(told: Sign, found: re.Match[str], words: Callable[[Words], Words]) -> Cause:
    more = told.more.search(found.string) if told.more else None
    named = words(_groups(found) | (_groups(more) if more else {}))
    says = told.says if more or not told.more else told.otherwise
    return Cause(says.format_map(named), told.hint.format_map(named), told.reason, _line_of(found))


def _groups(found: re.Match[str]) -> dict[str, str]:
    return {name: value.strip() for name, value in found.groupdict().items() if value}


def _newest(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return max(pattern.finditer(text), key=lambda found: found.start(), default=None)


def _line_of(found: re.Match[str]) -> str:
    """The line that it begins in."""
    before, after = found.string[: found.start()], found.string[found.start() :]
    return before.rpartition("\n")[2] + after.partition("\n")[0]
