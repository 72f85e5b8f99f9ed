"""Reads the messages that a server writes to its stdout.

A line that is correct JSON-RPC is passed on unchanged. An incorrect one with a clear meaning is repaired. An
answer that cannot be read becomes an error with the same id, because without any answer its caller would wait
for ever. Anything else is no message and goes to the log.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, NamedTuple, Optional, Set

from bridge import jsonrpc, protocol
from bridge.jsonrpc import Message, RequestId
from bridge.log import log, quote

LOOKED_AT = 64 << 10  # characters at the start of an unreadable line, in which to look for its id
TAIL = 4 << 10  # characters at its end, for the same
MAX_LINES_BYTES = 8 << 20  # for one message over several lines
NOT_JSON = "server answered with a line that is not JSON"
NEITHER = "server answered with neither a result nor an error"
BOM = "\ufeff"
ANSWER = frozenset({"jsonrpc", "id", "result", "error"})
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKEN = re.compile(rf'({_STRING})(\s*:)?|[{{}}\[\]]|"', re.DOTALL)
_ID = re.compile(rf"\s*({_STRING}|-?\d+(?:\.\d+)?)(?=\s*[,}}]|\s*$)", re.DOTALL)
_LAST_ID = re.compile(rf'"id"\s*:\s*({_STRING}|-?\d+(?:\.\d+)?)\s*\}}\s*$', re.DOTALL)


class ServerMessage(NamedTuple):
    """One message of a server, and the line to pass on for it."""

    line: bytes
    message: Message


class Reader:
    """Reads the lines of one process. Each kind of repair is logged once, without any content."""

    def __init__(self) -> None:
        self._told: Set[str] = set()
        self._lines: List[str] = []  # of a message that goes over several
        self._depth = 0
        self._constants = False
        self._decoder = json.JSONDecoder(strict=False, parse_constant=self._constant)

    def read(self, line: bytes) -> List[ServerMessage]:
        """The messages of a line, mostly one. `line` has no line end and is not empty."""
        try:
            message = jsonrpc.decode(line)
        except ValueError:
            return self._repaired(line)
        if jsonrpc.is_message(message) and not ("result" in message and "error" in message):
            self._lines.clear()
            return [ServerMessage(line, message)]
        found = self._continued(line.decode("utf-8"))
        return self._messages_in(message, line) if found is None else found

    def too_long(self, head: bytes, tail: bytes, size: int) -> List[ServerMessage]:
        """The message for a line that was too long to keep, given its start, its end and its size."""
        why = f"server answered with a line of {size} bytes, which is too long"
        received = _refused(head[:LOOKED_AT].decode("utf-8", "replace"), tail.decode("utf-8", "replace"), why)
        log(f"a line of {size} bytes on the server's stdout was dropped")
        return [received] if received else []

    def _repaired(self, line: bytes) -> List[ServerMessage]:
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

    def _values(self, text: str, line: bytes) -> List[ServerMessage]:
        """The messages of all JSON values on a line: two threads may have written at the same time."""
        found: List[ServerMessage] = []
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
            found += self._messages_in(value, line)
            at += len(text) - at - len(text[at:].lstrip())
        return found

    def _constant(self, _name: str) -> None:
        self._constants = True

    def _continued(self, text: str) -> Optional[List[ServerMessage]]:
        """Takes the next line of a message over several lines: [] until it is complete. None where no such
        message is open, or it became too long.
        """
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

    def _messages_in(self, value: Any, line: bytes) -> List[ServerMessage]:
        """The messages in a JSON value that is no JSON-RPC message as it is."""
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            self._tell("an array of messages, which are passed on one by one")
            return [
                received
                for each in value
                if isinstance(each, dict)
                for received in self._messages_in(each, line)
            ]
        message = self._as_message(value)
        if message is None:
            _not_a_message(line)
            return []
        return [ServerMessage(jsonrpc.encode(message), message)]

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
    """Whether an object is an answer that lacks "jsonrpc", and not a line of a structured log."""
    error = value.get("error")
    means = isinstance(value.get("result"), dict) or (isinstance(error, dict) and "message" in error)
    return means and jsonrpc.is_id(value.get("id")) and ANSWER.issuperset(value)


def _refused(head: str, tail: str, why: str) -> Optional[ServerMessage]:
    """An error with the id of an unreadable answer; None where the text seems to be no answer."""
    named = _named(head)
    if "method" in named or not ("result" in named or "error" in named):
        return None
    found = named.get("id") or _LAST_ID.search(tail)
    request_id: Any = json.loads(found[1], strict=False) if found else None
    if not jsonrpc.is_id(request_id):
        return None
    message = _error(why, request_id)
    return ServerMessage(jsonrpc.encode(message), message)


def _named(text: str) -> Dict[str, Optional["re.Match[str]"]]:
    """The keys of an object that may be broken JSON, up to the place where it breaks. The value for "id" is
    the match whose first group is the id.
    """
    found: Dict[str, Optional["re.Match[str]"]] = {}
    depth = 0
    for token in _TOKEN.finditer(text):
        what = token[0]
        if what == '"':  # a string without an end: the rest may be its content
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
    """The number of objects and lists that the text opens less those that it closes."""
    tokens = [token[0] for token in _TOKEN.finditer(text)]
    return sum((token in ("{", "[")) - (token in ("}", "]")) for token in tokens)


def _error(why: str, request_id: RequestId) -> Message:
    error = {"code": protocol.INTERNAL_ERROR, "message": why}
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


def _not_a_message(line: bytes) -> None:
    """Logs a line that is no message. Where it may be one, only its size is logged."""
    shown = f"{len(line)} bytes" if line.startswith((b"{", BOM.encode())) else quote(line)
    log(f"stdout of the server is not JSON-RPC: {shown}")
