"""Answers that do not end: what an engine or a cluster tells for as long as somebody listens.

The lines of a log are not taken from here, since a connection that breaks would lose some. An answer only
tells that there is something to read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from urllib3.response import BaseHTTPResponse

T = TypeVar("T")
logger = logging.getLogger(__name__)
MOST = 128  # logs that are followed at a time, each with a thread and a connection; others are asked
CONNECTIONS = MOST + 32  # that a client keeps open: for those, and for all else
CONNECT_SECONDS = 5.0
# Without a byte. A proxy or a firewall may have forgotten the connection, or the other side its power.
QUIET_SECONDS = 120.0
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
STEADY_SECONDS = 10.0  # an answer that lasted longer is opened again after the shortest pause
PIECE = 65_536


class Stream:
    """One answer, read in a thread, and opened again after a pause when it ends or breaks.

    `ask` makes the request, with QUIET_SECONDS as the timeout of a read. `heard` is called in that thread:
    with b"" when an answer begins, then with each piece. What they raise counts as a break.
    """

    def __init__(
        self, name: str, ask: Callable[[], BaseHTTPResponse], heard: Callable[[bytes], None]
    ) -> None:
        self._name, self._ask, self._heard = name, ask, heard
        self._over = threading.Event()
        self._answer: BaseHTTPResponse | None = None
        self.is_open = False  # from the request on: a server may not answer before there is something to tell

    def start(self) -> bool:
        """Call it once. False where no thread is left."""
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError as error:
            logger.warning("%s does not start: %s", self._name, error)
            return False
        return True

    def end(self) -> None:
        """Returns at once. A thread that waits for the beginning of an answer ends with that wait."""
        self._over.set()
        answer = self._answer
        if answer is not None:
            with suppress(OSError, ValueError, RuntimeError):  # it may end at this moment
                answer.shutdown()

    def _run(self) -> None:
        pause = SHORTEST_PAUSE
        while not self._over.is_set():
            began = time.monotonic()
            self._listen()
            is_steady = time.monotonic() - began > STEADY_SECONDS
            pause = SHORTEST_PAUSE if is_steady else min(2 * pause, LONGEST_PAUSE)
            self._over.wait(pause)

    def _listen(self) -> None:
        self.is_open = True
        try:
            self._take(self._ask())
        except Exception as error:  # noqa: BLE001 (whatever it is, it is tried again)
            logger.debug("%s: %s", self._name, error)
        finally:
            self.is_open, self._answer = False, None

    def _take(self, answer: BaseHTTPResponse) -> None:
        self._answer = answer  # from here on `end` breaks it
        try:
            self._hear(b"")
            for piece in answer.stream(PIECE):
                self._hear(piece)
        finally:
            answer.close()

    def _hear(self, piece: bytes) -> None:
        if self._over.is_set():
            raise InterruptedError
        self._heard(piece)


@dataclass(eq=False)
class Followed:
    """Tells which of many logs may have lines that were not read. Thread-safe.

    `ask` opens the log with that key so that it begins with its last line and goes on with each new one. By
    that line, what was written while nobody listened is noticed too. `name` is for its threads.
    """

    name: str
    ask: Callable[[str], BaseHTTPResponse]
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _logs: dict[str, _Log] = field(default_factory=dict, init=False)

    def follow(self, keys: Sequence[str]) -> None:
        """Follows these logs from now on, the first MOST of them, and no others. It returns at once."""
        with self._lock:
            for key in self._logs.keys() - set(keys):
                self._logs.pop(key).stream.end()
            missing = [key for key in keys if key not in self._logs]
            for key in missing[: MOST - len(self._logs)]:
                self._begin(key)

    def may_have_more(self, key: str) -> bool:
        """Whether it was written to since it was read to its end. True for a log that is not followed."""
        log = self._logs.get(key)
        return log is None or log.is_written or not log.stream.is_open

    def read(
        self, keys: Sequence[str], look: Callable[[], tuple[Sequence[T], str]]
    ) -> tuple[Sequence[T], str]:
        """What `look` returns for these logs: new lines and a cursor. Only a look that finds no lines shows
        that the end was reached.
        """
        logs = [log for key in keys if (log := self._logs.get(key))]
        for log in logs:
            log.is_written = False  # before the look: a line that comes meanwhile sets it again
        is_end = False
        try:
            found = look()
            is_end = not found[0]
            return found
        finally:
            for log in () if is_end else logs:
                log.is_written = True

    def _begin(self, key: str) -> None:
        log = _Log(f"{self.name}-{key[:12]}", lambda: self.ask(key))
        if log.stream.start():
            self._logs[key] = log


class _Log:
    """Counts as written when it is opened too: nobody listened before."""

    def __init__(self, name: str, ask: Callable[[], BaseHTTPResponse]) -> None:
        self.is_written = True
        self._ask = ask
        self.stream = Stream(name, self._asked, self._heard)

    def _asked(self) -> BaseHTTPResponse:
        self.is_written = True
        return self._ask()

    def _heard(self, piece: bytes) -> None:
        if piece:
            self.is_written = True
