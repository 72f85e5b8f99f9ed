"""Hears and sends wake-ups. Other processes are reached through PostgreSQL, beside SQLite through pipes."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from selectors import EVENT_READ, DefaultSelector
from typing import Protocol

from django.db import Error, connection, transaction

from servers.wakeups import notifications, pipes

Hearer = Callable[[str | None], None]
NOTICES = "notices"  # the topic of whoever sends notices; all others are channels of the live feed
PAUSE_SECONDS = 1.0
logger = logging.getLogger(__name__)


class Line(Protocol):
    """How wake-ups of other processes arrive."""

    def fileno(self) -> int:
        """Returns a descriptor that is readable when there is something to take."""

    def take(self) -> list[str]:
        """Returns the topics that have arrived, without waiting. Raises `OSError` or `django.db.Error`."""


class _Ear:
    """Listens in a thread of its own, and connects again after a failure."""

    def __init__(self) -> None:
        self._over, self._heard = threading.Event(), True
        self._ended, self._end = os.pipe()
        try:
            threading.Thread(target=self._listen, name="wake-ups", daemon=True).start()
        except RuntimeError:  # no thread is left
            os.close(self._ended)
            os.close(self._end)
            raise

    def end(self) -> None:
        """Ends the thread soon, and does not wait for it: the caller may be an event loop."""
        self._over.set()
        os.close(self._end)

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                with _line() as line, DefaultSelector() as selector:
                    self._heard = True
                    tell(None)
                    self._follow(line, selector)
            except Exception as error:  # noqa: BLE001  (whatever it is: nobody else listens for this process)
                self._note(error)
                self._over.wait(PAUSE_SECONDS)
        os.close(self._ended)

    def _follow(self, line: Line, selector: DefaultSelector) -> None:
        for each in (line, self._ended):
            selector.register(each, EVENT_READ)
        while self._ended not in [key.fileobj for key, _ in selector.select()]:
            for topic in line.take():
                tell(topic)

    def _note(self, error: Exception) -> None:
        """Logs that nothing is heard, once until it is heard again."""
        level = logging.WARNING if self._heard else logging.DEBUG
        logger.log(level, "wake-ups of other processes are not heard now: %s", type(error).__name__)
        self._heard = False


class _Hearers:
    """The hearers of this process. While there are any, an ear listens to other processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ear: _Ear | None = None
        self.all: list[Hearer] = []

    def add(self, hearer: Hearer) -> None:
        with self._lock:
            self.all.append(hearer)  # before the ear, which begins with a wake-up for all
            try:
                self._ear = self._ear or _Ear()
            except BaseException:
                self.all.remove(hearer)  # its block does not begin, so nobody else would
                raise

    def remove(self, hearer: Hearer) -> None:
        with self._lock:
            self.all.remove(hearer)
            if self._ear and not self.all:
                self._ear.end()
                self._ear = None


_hearers = _Hearers()


@contextmanager
def hearing(hearer: Hearer) -> Iterator[None]:
    """Calls `hearer(topic)` for each wake-up while the block runs, in any thread.

    It calls `hearer(None)` if some may have been missed, also when it has begun to listen. `hearer` must be
    quick and raise nothing. Raises `OSError` or `RuntimeError` if no descriptor or no thread is left.
    """
    _hearers.add(hearer)
    try:
        yield
    finally:
        _hearers.remove(hearer)


def tell(topic: str | None) -> None:
    """Wakes the hearers of this process; None tells all of them that they may have missed something."""
    for hearer in list(_hearers.all):
        hearer(topic)


def send(topic: str) -> None:
    """Wakes the hearers of this process, and those of others. Call it after the commit. Raises nothing."""
    tell(topic)
    try:
        _send(topic)
    except (OSError, Error) as error:
        logger.warning("other processes are not woken, and look later: %s", type(error).__name__)


def send_on_commit(topic: str) -> None:
    """Sends the wake-up when the transaction is committed; without one, at once."""
    transaction.on_commit(partial(send, topic))


def _line() -> AbstractContextManager[Line]:
    return notifications.line() if connection.vendor == "postgresql" else pipes.line()


def _send(topic: str) -> None:
    (notifications if connection.vendor == "postgresql" else pipes).send(topic)
