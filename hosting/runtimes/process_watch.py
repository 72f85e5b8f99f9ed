"""Waits for the ends of runs in one thread for all of them, and keeps them to their limits meanwhile."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress

from hosting.errors import RuntimeFault
from hosting.runtimes import process_snapshot
from hosting.runtimes.process_run import Run
from hosting.runtimes.process_snapshot import Snapshot

logger = logging.getLogger(__name__)
LOOK_SECONDS = 2.0


class Watch:
    """Tells when one of some runs has ended. Thread-safe. Its thread lives while it watches any.

    The system tells of an end at once (pidfd_open(2)), also of a process that another platform has started.
    Every LOOK_SECONDS one snapshot serves for the rest: `limit` is called with each run that is alive in it,
    and returns whether it ended something; and it finds ends where the system has no pidfds. `settle` is
    called with runs that have ended, before their end is told. Each end is told once.
    """

    def __init__(
        self, limit: Callable[[Run, Snapshot], bool], settle: Callable[[Sequence[Run]], None]
    ) -> None:
        self._limit, self._settle = limit, settle
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._changed: Callable[[], None] = lambda: None
        self._waker: socket.socket | None = None  # None while there is no thread

    def replace(self, runs: Iterable[Run], changed: Callable[[], None]) -> None:
        """Watches these runs from now on, and no others; `changed` is called for all of them."""
        wanted = {run.token: run for run in runs}
        with self._lock:
            is_same, self._runs, self._changed = wanted.keys() == self._runs.keys(), wanted, changed
            if self._waker is None and wanted:
                self._start()
            elif self._waker and not is_same:
                with suppress(BlockingIOError):  # then it was woken before, and has not seen that yet
                    self._waker.send(b"\0")

    def _start(self) -> None:
        try:
            waker, woken = socket.socketpair()
            waker.setblocking(False)
            threading.Thread(target=self._run, args=(waker, woken), name="ends", daemon=True).start()
        except (
            OSError,
            RuntimeError,
        ) as error:  # no descriptor or no thread is left: the next call tries again
            logger.warning("ends of servers are seen late: %s", error)
        else:
            self._waker = waker

    def _run(self, waker: socket.socket, woken: socket.socket) -> None:
        try:
            with closing(_Ends(woken)) as ends:
                self._follow(ends)
        finally:
            with self._lock:
                self._waker = None if self._waker is waker else self._waker
                waker.close()
                woken.close()

    def _follow(self, ends: _Ends) -> None:
        due = time.monotonic() + LOOK_SECONDS
        while runs := self._wanted():
            ended, is_limited = ends.keep(runs) + ends.wait(due - time.monotonic()), False
            if time.monotonic() >= due:
                late, is_limited = self._look(ends.open_runs())
                ended += ends.drop(late)
                due = time.monotonic() + LOOK_SECONDS
            self._tell(ended, is_limited)

    def _wanted(self) -> list[Run]:
        """The runs to watch. Without any the thread has to end, and the next call starts another."""
        with self._lock:
            if not self._runs:
                self._waker = None
            return list(self._runs.values())

    def _look(self, runs: Sequence[Run]) -> tuple[list[Run], bool]:
        """The runs that have ended, and whether a limit has ended something."""
        try:
            snapshot = process_snapshot.taken()
        except RuntimeFault as fault:
            logger.debug("no look at limits: %s", fault)
            return [], False
        alive = {run.token for run in runs if snapshot.is_alive(run.pid, run.create_time)}
        limited = [self._limited(run, snapshot) for run in runs if run.token in alive]
        return [run for run in runs if run.token not in alive], any(limited)

    def _limited(self, run: Run, snapshot: Snapshot) -> bool:
        try:
            return self._limit(run, snapshot)
        except RuntimeFault as fault:  # the next survey meets it too, and tells it
            logger.debug("a limit could not be enforced: %s", fault)
            return True

    def _tell(self, ended: Sequence[Run], is_limited: bool) -> None:
        if ended:
            self._settle(ended)
        if ended or is_limited:
            self._changed()


class _Ends:
    """Descriptors of the first processes of runs; one can be read when its process has ended."""

    def __init__(self, woken: socket.socket) -> None:
        self._selector, self._woken = selectors.DefaultSelector(), woken
        self._selector.register(woken, selectors.EVENT_READ)
        self._runs: dict[str, Run] = {}
        self._descriptors: dict[str, int] = {}  # not of those that have ended, nor where the system has none
        self._over: set[str] = set()

    def open_runs(self) -> list[Run]:
        """Those that are not known to have ended."""
        return [run for token, run in self._runs.items() if token not in self._over]

    def keep(self, runs: Sequence[Run]) -> list[Run]:
        """Replaces the runs; returns the new ones that have ended already."""
        before, self._runs = self._runs, {run.token: run for run in runs}
        for token in before.keys() - self._runs.keys():
            self._forget(token)
            self._over.discard(token)
        return self.drop(run for run in runs if run.token not in before and not self._open(run))

    def wait(self, seconds: float) -> list[Run]:
        """Those that have ended. It returns after `seconds`, or when one ends or the thread is woken."""
        ready = [key for key, _ in self._selector.select(max(0.0, seconds))]
        if any(key.data is None for key in ready):
            self._woken.recv(4096)
        return self.drop(self._runs[key.data] for key in ready if key.data)

    def drop(self, ended: Iterable[Run]) -> list[Run]:
        """Notes that these have ended, and returns them."""
        found = list(ended)
        for run in found:
            self._forget(run.token)
            self._over.add(run.token)
        return found

    def close(self) -> None:
        for token in list(self._descriptors):
            self._forget(token)
        self._selector.close()

    def _open(self, run: Run) -> bool:
        """False where it has ended. Its pid may be another's since, so its start time is compared too."""
        try:
            descriptor = os.pidfd_open(run.pid)
        except ProcessLookupError:
            return False
        except (AttributeError, OSError):  # the system has none, refuses it, or has no more descriptors
            return True
        if not run.alive():
            os.close(descriptor)
            return False
        self._descriptors[run.token] = descriptor
        self._selector.register(descriptor, selectors.EVENT_READ, run.token)
        return True

    def _forget(self, token: str) -> None:
        descriptor = self._descriptors.pop(token, None)
        if descriptor is not None:
            self._selector.unregister(descriptor)
            os.close(descriptor)
