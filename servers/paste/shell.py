r"""Splits command lines as people paste them: with prompts, continuations, quotes and `&&`. Runs nothing.

`shlex` is not used: here placeholders such as `<YOUR KEY>` and paths such as `C:\Users` stay whole, comments
are left out, and a quotation mark that is not closed spoils only its own line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_LINES = 2000
# A quoted JSON document may go on for this many lines.
LONGEST_QUOTE = 60
_PROMPT = re.compile(
    r"(?:(?:\([\w.-]{1,40}\) )?(?:[\w.-]{1,40}@[\w.-]{1,60}[: ][^ $#%>]{0,100}[$%#] ?|\$ |% |> |❯ |➜ |»  ?"
    r"|PS [A-Za-z]:[^>]{0,200}> ?|[A-Za-z]:\\[^>]{0,200}> ?|PS> ))"
)
_MARKER = re.compile(r"(?:[-*+•] |[0-9]{1,2}[.)] )")
_ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,127})=")
_POWERSHELL = re.compile(r"\$env:([A-Za-z_][A-Za-z0-9_]{0,127}) ?= ?(.*)", re.IGNORECASE)
_WIDEST_PLACEHOLDER = 80


class Unclosed(Exception):
    """A quotation mark is not closed."""


@dataclass(frozen=True)
class Line:
    """The commands of one line; () if it could not be split."""

    commands: tuple[tuple[str, ...], ...]
    text: str


def lines(text: str) -> Iterator[Line]:
    """Yields logical lines: joins continued lines, and removes prompts, bullets and backticks around them."""
    waiting = text.split("\n")[:MOST_LINES]
    at = 0
    while at < len(waiting):
        line, at = _joined(waiting, at)
        bare = _bare(line)
        try:
            commands = split(bare)
        except Unclosed:
            longer, end = _with_its_quote(waiting, at, bare)
            commands, at = (longer, end) if longer is not None else ((), at)
        if bare:
            yield Line(commands, bare)


def assignment(word: str) -> tuple[str, str] | None:
    """Returns name and value of `NAME=value`, or None."""
    found = _ASSIGNED.match(word)
    return (found[1], word[found.end() :]) if found else None


def split(line: str) -> tuple[tuple[str, ...], ...]:
    """Returns the commands of a line, each as its words. Raises `Unclosed`."""
    powershell = _POWERSHELL.match(line)
    if powershell:
        rest, _, after = powershell[2].partition(";")
        value = rest.strip().strip("\"'")
        return (("export", f"{powershell[1]}={value}"), *(split(after.strip()) if after.strip() else ()))
    return tuple(tuple(words) for words in _Splitter(line).commands() if words)


class _Splitter:
    """Splits one line in one pass."""

    def __init__(self, line: str) -> None:
        self.line, self.at = line, 0
        self.found: list[list[str]] = [[]]
        self.word: list[str] | None = None

    def commands(self) -> list[list[str]]:
        while self.at < len(self.line):
            self._step(self.line[self.at])
        self._end_word()
        return self.found

    def _step(self, sign: str) -> None:
        if sign in "\"'":
            self._quoted(sign)
        elif sign.isspace():
            self._end_word()
            self.at += 1
        elif sign == "#" and self.word is None:
            self.at = len(self.line)
        elif sign in ";|" or self.line.startswith("&&", self.at):
            self._end_word()
            self.found.append([])
            self.at += 1 + (self.line[self.at : self.at + 2] in ("&&", "||"))
        elif sign == "&" and self.line[self.at + 1 : self.at + 2] in ("", " "):
            self.at += 1
        elif sign == "\\":
            self._escaped()
        else:
            self._take(self._unit(sign))

    def _quoted(self, quote: str) -> None:
        self._take("", 1)
        while self.at < len(self.line) and self.line[self.at] != quote:
            sign = self.line[self.at]
            after = self.line[self.at + 1 : self.at + 2]
            if sign == "\\" and quote == '"' and after and after in '"\\$`':
                self._take(after, 2)
            else:
                self._take(sign)
        if self.at >= len(self.line):
            raise Unclosed
        self.at += 1

    def _escaped(self) -> None:
        """Reads a backslash, which in a path of Windows escapes nothing."""
        path = "".join((self.word or [])[:140])
        after = self.line[self.at + 1 : self.at + 2]
        if re.match(r"(?:[A-Za-z]:|%\w+%|\.{1,2}|~)(?:\\|\Z)", path) or not after:
            self._take("\\")
        else:
            self._take(after, 2)

    def _unit(self, sign: str) -> str:
        """Returns a whole placeholder or substitution, with its spaces, as a part of a word."""
        ends = {"<": ">", "$(": ")", "${": "}", "{{": "}}", "`": "`"}
        opener = self.line[self.at : self.at + 2] if self.line[self.at : self.at + 2] in ends else sign
        end = ends.get(opener)
        if end is None:
            return sign
        inner = self.line[self.at + len(opener) : self.at + len(opener) + _WIDEST_PLACEHOLDER]
        until = inner.find(end)
        if until < 0 or (opener == "<" and not inner[:1].isalpha()):
            return sign
        return opener + inner[:until] + end

    def _take(self, text: str, width: int | None = None) -> None:
        self.word = self.word if self.word is not None else []
        self.word.append(text)
        self.at += len(text) if width is None else width

    def _end_word(self) -> None:
        if self.word is not None:
            self.found[-1].append("".join(self.word))
        self.word = None


def _joined(waiting: list[str], at: int) -> tuple[str, int]:
    parts: list[str] = []
    while at < len(waiting):
        line = waiting[at].strip()
        at += 1
        if not _goes_on(line):
            return " ".join([*parts, line]), at
        parts.append(line[:-1].rstrip())
    return " ".join(parts), at


def _goes_on(line: str) -> bool:
    """Tells whether the line ends with the continuation sign of a POSIX shell, PowerShell or cmd."""
    if line.endswith("\\"):
        return True
    return line.endswith((" `", " ^")) and line.count("`") % 2 == line.endswith("`")


def _bare(line: str) -> str:
    line = _MARKER.sub("", line.strip(), count=1) if _MARKER.match(line.strip()) else line.strip()
    if len(line) > 2 and line[0] == line[-1] == "`":
        line = line.strip("`").strip()
    found = _PROMPT.match(line)
    return line[found.end() :].strip() if found else line


def _with_its_quote(waiting: list[str], at: int, line: str) -> tuple[tuple[tuple[str, ...], ...] | None, int]:
    """Joins the line with those over which its quoted JSON goes on.

    Returns the commands, or None if there is no such quote, and the index of the next line.
    """
    if not re.search(r"[\"']\s*[\[{]", line):
        return None, at
    for end in range(at + 1, min(at + LONGEST_QUOTE, len(waiting)) + 1):
        line = f"{line}\n{waiting[end - 1]}"
        if "'" in waiting[end - 1] or '"' in waiting[end - 1]:
            try:
                return split(line), end
            except Unclosed:
                continue
    return None, at
