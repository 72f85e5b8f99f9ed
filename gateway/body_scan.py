"""Reads method, name and metadata of a long JSON-RPC request from its body while the body passes.

At the levels that matter, every key is compared, at any position and with escapes. Other values are skipped,
above all `params.arguments`.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from bridge.protocol import CAPABILITIES_KEY, CLIENT_KEY, VERSION_KEY

LONGEST_KEY = 300  # bytes; the longest key that is searched takes 228 if it is fully escaped
LONGEST = 16 * 1024  # of a value
MOST_STEPS = 200_000  # takes a third of a second
KEPT: dict[str, Any] = {}  # keep the value, if it is no object or array
LOOKED_FOR: dict[str, Any] = {
    "id": KEPT,
    "method": KEPT,
    "params": {
        "name": KEPT,
        "uri": KEPT,
        "_meta": {VERSION_KEY: KEPT, CAPABILITIES_KEY: KEPT, CLIENT_KEY: {"name": KEPT, "version": KEPT}},
    },
}
_STRING = rb'(?:[^"\\]++|\\.)*+'
_IN_STRING = re.compile(_STRING, re.DOTALL)
_PLAIN = rb'[^"{}\[\]]++|"' + _STRING + rb'"'


def _nested(levels: int) -> bytes:
    within = b"|" + _nested(levels - 1) if levels else b""
    return rb"[{\[](?:" + _PLAIN + within + rb")*+[}\]]"


# Skips values, except brackets with more levels inside, and strings that do not end in this piece.
_SKIPPED = re.compile(rb"(?:" + _PLAIN + rb"|" + _nested(3) + rb")*+", re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb"[^ \t\r\n,:\"{}\[\]]*+")
KEY, COLON, VALUE, NEXT, OVER = range(5)


def _end(pattern: re.Pattern[bytes], chunk: bytes, at: int) -> int:
    """Returns the end of the match at this position; all patterns here also match the empty text."""
    found = pattern.match(chunk, at)
    return found.end() if found else at


class Odd(Exception):
    """The body is no JSON object, or one that two parsers could read differently."""


class Skeleton:
    """Scans a body for the members in `LOOKED_FOR`, without holding it.

    Call `feed` with each piece; `message` then has the members that were found.
    """

    def __init__(self) -> None:
        self._stack: list[
            tuple[dict[str, Any], dict[str, Any]]
        ] = []  # (members to find, members found), outermost first
        self._root: dict[str, Any] = {}
        self._expected = VALUE
        self._key = ""
        self._depth = 0  # levels inside a skipped value
        self._string = self._escaped = self._scalar = False
        self._collected: bytearray | None = None
        self._most = 0
        self._odd = False
        self._steps = 0

    @property
    def message(self) -> dict[str, Any] | None:
        """The members that were found, at their places.

        None if the body is not one JSON object, repeats an important key with another value, or takes too
        many steps.
        """
        return self._root if self._expected == OVER and not self._odd else None

    def feed(self, chunk: bytes) -> None:
        """Scans the next piece of the body."""
        at = 0
        try:
            while at < len(chunk) and not self._odd:
                at = self._step(chunk, at)
                self._steps += 1
                self._odd = self._steps > MOST_STEPS
        except (Odd, ValueError):
            self._odd = True

    def _step(self, chunk: bytes, at: int) -> int:
        if self._string:
            return self._through_string(chunk, at)
        if self._scalar:
            return self._through_scalar(chunk, at)
        return self._skip(chunk, at) if self._depth else self._token(chunk, at)

    # Inside a skipped value

    def _skip(self, chunk: bytes, at: int) -> int:
        at = _end(_SKIPPED, chunk, at)
        if at == len(chunk):
            return at
        if chunk[at] == 0x22:
            self._string, self._collected = True, None
        else:
            self._depth += 1 if chunk[at] in b"{[" else -1
            if not self._depth:
                self._expected = NEXT
        return at + 1

    # At the levels that matter

    def _token(self, chunk: bytes, at: int) -> int:
        at = _end(_SPACE, chunk, at)
        if at == len(chunk):
            return at
        char = chunk[at : at + 1]
        if char == b'"' and self._expected in (KEY, VALUE) and self._stack:
            self._string = True
            wanted = self._expected == KEY or self._wanted is KEPT
            self._collect(LONGEST_KEY if self._expected == KEY else LONGEST, wanted=wanted)
        elif self._expected == VALUE:
            return self._value(char, at)
        else:
            self._punctuation(char)
        return at + 1

    def _punctuation(self, char: bytes) -> None:
        if char == b":" and self._expected == COLON:
            self._expected = VALUE
        elif char == b"," and self._expected == NEXT:
            self._expected = KEY
        elif char == b"}" and self._expected in (KEY, NEXT):
            self._stack.pop()
            self._expected = NEXT if self._stack else OVER
        else:
            raise Odd

    def _value(self, char: bytes, at: int) -> int:
        if char == b"{" and (not self._stack or self._wanted):
            self._enter()
        elif char in (b"{", b"[") and self._stack:
            self._found({} if char == b"{" else [])
            self._depth = 1
        elif self._stack and char not in (b"}", b"]", b",", b":"):
            self._scalar = True
            self._collect(LONGEST, wanted=self._wanted is KEPT)
            return at
        else:
            raise Odd
        return at + 1

    @property
    def _wanted(self) -> dict[str, Any] | None:
        """The members to find in the value of this key; None for none."""
        return self._stack[-1][0].get(self._key)

    def _enter(self) -> None:
        if not self._stack:
            self._stack.append((LOOKED_FOR, self._root))
        else:
            looked_for, found = self._stack[-1]
            if self._key in found:
                raise Odd
            found[self._key] = {}
            self._stack.append((looked_for[self._key], found[self._key]))
        self._expected = KEY

    def _found(self, value: Any) -> None:
        """Stores a value.

        A skipped value counts as "", so that a second one under the same key is detected.
        """
        if self._wanted is not None and self._stack[-1][1].setdefault(self._key, value) != value:
            raise Odd

    # Strings and scalars, which may end in a later chunk

    def _collect(self, most: int, *, wanted: bool) -> None:
        self._collected, self._most = bytearray() if wanted else None, most

    def _keep(self, part: bytes) -> None:
        """Takes a collected key or value.

        A key that is too long becomes "", a value that is too long is odd.
        """
        if self._collected is None:
            return
        self._collected += part
        if len(self._collected) > self._most:
            if self._expected != KEY:
                raise Odd
            self._collected = None

    def _through_string(self, chunk: bytes, at: int) -> int:
        begin = at
        if self._escaped:
            self._escaped, at = False, at + 1
        at = _end(_IN_STRING, chunk, at)
        if (
            at < len(chunk) and chunk[at] == 0x5C
        ):  # a backslash, and what it escapes comes with the next chunk
            self._escaped, at = True, at + 1
            self._keep(chunk[begin:at])
            return at
        self._keep(chunk[begin:at])
        if at == len(chunk):
            return at
        self._string = False
        if not self._depth:
            self._string_over()
        return at + 1

    def _string_over(self) -> None:
        value = "" if self._collected is None else orjson.loads(b'"%b"' % bytes(self._collected))
        if self._expected == KEY:
            self._key, self._expected = value, COLON
        else:
            self._found(value)
            self._expected = NEXT

    def _through_scalar(self, chunk: bytes, at: int) -> int:
        end = _end(_SCALAR, chunk, at)
        self._keep(chunk[at:end])
        if end < len(chunk):
            self._scalar, self._expected = False, NEXT
            self._found("" if self._collected is None else orjson.loads(bytes(self._collected)))
        return end
