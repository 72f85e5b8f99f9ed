"""The end of an exchange, however slowly the other side speaks."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Self

_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


class Deadline:
    """Ends the connections of what runs within it: the timeouts of a socket begin anew with each byte.

    `over` tells, afterwards, whether it did: what came by then may look like an answer that was whole.
    """

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._held: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._outer: Token[Deadline | None] | None = None

    def __enter__(self) -> Self:
        self._outer = _current.set(self)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._outer is not None:
            _current.reset(self._outer)
        with self._lock:
            for held in self._held:
                held.close()
            self._held.clear()

    def watch(self, used: socket.socket) -> None:
        """A duplicate is held: TLS takes the socket itself, and a pool keeps it."""
        held = socket.socket(fileno=os.dup(used.fileno()))
        with self._lock:
            self._held.append(held)
            if self.over:
                _end(held)

    def _cut(self) -> None:
        with self._lock:
            self.over = True
            for held in self._held:
                _end(held)


def _end(held: socket.socket) -> None:
    with suppress(OSError):
        held.shutdown(socket.SHUT_RDWR)


def watch(used: socket.socket | None) -> None:
    """Lets the deadline that this thread works within, if any, end `used`."""
    deadline = _current.get()
    if deadline is not None and used is not None:
        deadline.watch(used)
