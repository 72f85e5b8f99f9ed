"""Ends an exchange after a time, however slowly the other side sends."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Self

_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


class Deadline:
    """Ends, after `seconds`, all connections that are used within the `with` block.

    A socket's own timeout starts again with each byte, so it cannot bound an exchange. Check `over`
    afterwards: if it is true, the body may be cut although it looks complete.
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
        """Registers a socket to close.

        It holds a duplicate, because TLS takes over the socket, and a pool keeps it.
        """
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
    """Registers a socket with the deadline of this context, if there is one."""
    deadline = _current.get()
    if deadline is not None and used is not None:
        deadline.watch(used)
