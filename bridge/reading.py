"""What a server writes to its stdout, as messages.

A line that is JSON-RPC to the letter passes as it came. One that is not, and whose meaning is plain, is
mended. An answer that cannot be read becomes an error with its id: thrown away it would leave its caller
waiting. All else is no message and goes to the log.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, NamedTuple, Optional, Set

from bridge import jsonrpc, protocol
from bridge.jsonrpc import Message, RequestId
from bridge.log import log, quote

LOOKED_AT = 64 << 10  # characters at the head of what cannot be read, for whose answer it is
TAIL = 4 << 10  # and at its end
MAX_LINES_BYTES = 8 << 20  # of one message over several lines
NOT_JSON = "server answered with a line that is not JSON"
NEITHER = "server answered with neither a result nor an error"
BOM = "\ufeff"
ANSWER = frozenset({"jsonrpc", "id", "result", "error"})
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKEN = re.compile(rf'({_STRING})(\s*:)?|[{{}}\[\]]|"', re.DOTALL)
_ID = re.compile(rf"\s*({_STRING}|-?\d+(?:\.\d+)?)(?=\s*[,}}]|\s*$)", re.DOTALL)
_LAST_ID = re.compile(rf'"id"\s*:\s*({_STRING}|-?\d+(?:\.\d+)?)\s*\}}\s*$', re.DOTALL)


class Said(NamedTuple):
    """One message, and the line that is passed on for it."""

    line: bytes
    message: Message


class Reader:
    """Reads the lines of one process. What it mends it says once in the log, without their content."""

    def __init__(self) -> None:
        self._told: Set[str] = set()
        self._lines: List[str] = []  # of a message that goes over several
        self._depth = 0
        self._constants = False
        self._decoder = json.JSONDecoder(strict=False, parse_constant=self._constant)

    def read(self, line: bytes) -> List[Said]:
        """`line` has no line break and is not empty."""
        try:
            message = jsonrpc.decode(line)
        except ValueError:
            return self._mended(line)
        if jsonrpc.is_message(message) and not ("result" in message and "error" in message):
            self._lines.clear()
            return [Said(line, message)]
        found = self._continued(line.decode("utf-8"))
        return self._meant(message, line) if found is None else found

    def too_long(self, head: bytes, tail: bytes, size: int) -> List[Said]:
        """A line of which only the two ends are there."""
        why = f"server answered with a line of {size} bytes, which is too long"
        said = _refused(head[:LOOKED_AT].decode("utf-8", "replace"), tail.decode("utf-8", "replace"), why)
        log(f"a line of {size} bytes on the server's stdout was dropped")
        return [said] if said else []

    def _mended(self, line: bytes) -> List[Said]:
        text = line.decode("utf-8", "replace").lstrip(BOM + " \t")
        found = self._continued(text)
        if found is not None:
            return found
        if text == "{":
            self._lines, self._depth = [text], 1
            return []
        if not text.startswith(("{", "[")):
            _not_a_message(line)
            return []
        self._note_encoding(line)
        return self._values(text, line)

    def _note_encoding(self, line: bytes) -> None:
        if line.startswith(BOM.encode()):
            self._tell("a byte order mark, which is left out")
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            self._tell("bytes that are not UTF-8, each passed on as U+FFFD")

    def _values(self, text: str, line: bytes) -> List[Said]:
        """One value after the other: two writers may have met on one line."""
        found: List[Said] = []
        at = 0
        while at < len(text):
            self._constants = False
            try:
                value, at = self._decoder.raw_decode(text, at)
            except (ValueError, RecursionError):
                refused = _refused(text[at : at + LOOKED_AT], text[-TAIL:], NOT_JSON)
                if refused:
                    self._tell("a line that is not JSON in the place of an answer, which became an error")
                    found.append(refused)
                elif not found:
                    _not_a_message(line)
                break
            if self._constants:
                self._tell("NaN or Infinity, which are not JSON, each passed on as null")
            found += self._meant(value, line)
            at += len(text) - at - len(text[at:].lstrip())
        return found

    def _constant(self, _name: str) -> None:
        self._constants = True

    def _continued(self, text: str) -> Optional[List[Said]]:
        """The next line of a message that goes over several; None where there is none, or no more."""
        if not self._lines:
            return None
        self._lines.append(text)
        self._depth += _depth(text)
        if sum(map(len, self._lines)) > MAX_LINES_BYTES:
            self._lines.clear()
            return None
        if self._depth > 0:
            return []
        whole = " ".join(self._lines)
        self._lines.clear()
        self._tell("a message over several lines")
        return self._values(whole, whole.encode())

    def _meant(self, value: Any, line: bytes) -> List[Said]:
        """JSON that is not JSON-RPC, at least not by itself."""
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            self._tell("an array of messages, which are passed on one by one")
            return [said for each in value if isinstance(each, dict) for said in self._meant(each, line)]
        message = self._as_message(value)
        if message is None:
            _not_a_message(line)
            return []
        return [Said(jsonrpc.encode(message), message)]

    def _as_message(self, value: Any) -> Optional[Message]:
        if not isinstance(value, dict):
            return None
        if value.get("jsonrpc") != "2.0":
            if not _is_plainly_an_answer(value):
                return None
            self._tell('an answer without "jsonrpc": "2.0", which is added')
            value = {**value, "jsonrpc": "2.0"}
        if "method" in value:
            if value.get("id", 0) is None:
                self._tell("a notification with the id null, which is left out")
                value = {name: held for name, held in value.items() if name != "id"}
        elif "result" in value and "error" in value:
            self._tell("a result and an error in one answer, of which one is left out")
            empty = "error" if value["error"] is None else "result"
            value = {name: held for name, held in value.items() if name != empty}
        elif jsonrpc.is_id(value.get("id")) and not ("result" in value or "error" in value):
            self._tell("an answer with neither a result nor an error, which became an error")
            value = _error(NEITHER, value["id"])
        return value if jsonrpc.is_message(value) else None

    def _tell(self, fault: str) -> None:
        if fault not in self._told:
            self._told.add(fault)
            log(f"the server writes {fault}")


def _is_plainly_an_answer(value: Dict[str, Any]) -> bool:
    """And not a line of a structured log."""
    error = value.get("error")
    means = isinstance(value.get("result"), dict) or (isinstance(error, dict) and "message" in error)
    return means and jsonrpc.is_id(value.get("id")) and ANSWER.issuperset(value)


def _refused(head: str, tail: str, why: str) -> Optional[Said]:
    """An error in the place of the answer that this seems to be; None where it seems to be none."""
    named = _named(head)
    if "method" in named or not ("result" in named or "error" in named):
        return None
    found = named.get("id") or _LAST_ID.search(tail)
    request_id: Any = json.loads(found[1], strict=False) if found else None
    if not jsonrpc.is_id(request_id):
        return None
    message = _error(why, request_id)
    return Said(jsonrpc.encode(message), message)


def _named(text: str) -> Dict[str, Optional["re.Match[str]"]]:
    """The keys of an object that may be broken anywhere, as far as it can be followed; with that of the id,
    the match whose first group is its value."""
    found: Dict[str, Optional["re.Match[str]"]] = {}
    depth = 0
    for token in _TOKEN.finditer(text):
        what = token[0]
        if what == '"':  # a string that does not end: what follows may be its content
            break
        if what in "{[":
            depth += 1
        elif what in "}]":
            depth -= 1
        elif token[2] and depth == 1:
            name = token[1][1:-1]
            found.setdefault(name, _ID.match(text, token.end()) if name == "id" else None)
    return found


def _depth(text: str) -> int:
    """How many more objects and lists this opens than it closes."""
    tokens = [token[0] for token in _TOKEN.finditer(text)]
    return sum((token in ("{", "[")) - (token in ("}", "]")) for token in tokens)


def _error(why: str, request_id: RequestId) -> Message:
    error = {"code": protocol.INTERNAL_ERROR, "message": why}
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


def _not_a_message(line: bytes) -> None:
    """Logs what a server printed, unless it might be a message: bodies are not logged."""
    shown = f"{len(line)} bytes" if line.startswith((b"{", BOM.encode())) else quote(line)
    log(f"stdout of the server is not JSON-RPC: {shown}")
