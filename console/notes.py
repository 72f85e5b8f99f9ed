"""Checks of this machine in a background thread. A page shows the last result and never waits for a new
one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Generic, TypeVar

from django.db import connection

from hosting.runtimes.base import Capability
from servers.operations import capabilities, needs_attention
from servers.operations.needs_attention import Concern

LOOK_AGAIN_AFTER = 60.0
Found = TypeVar("Found")


class Notes(Generic[Found]):
    def __init__(self, look: Callable[[], Sequence[Found]]) -> None:
        self._look = look
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="notes")
        self._lock = threading.Lock()
        self._pending: Future[Sequence[Found]] | None = None
        self._known: Sequence[Found] | None = None
        self._at = 0.0

    def current(self) -> Sequence[Found] | None:
        """The last result; None if there is none yet. Starts a new check if the last one is old."""
        with self._lock:
            self._collect()
            if self._pending is None and (self._known is None or monotonic() - self._at > LOOK_AGAIN_AFTER):
                self._pending = self._pool.submit(self._look_up)
            return self._known

    @property
    def looking(self) -> bool:
        """Whether a check is running: the result of `current` may change soon."""
        with self._lock:
            return self._pending is not None

    def _look_up(self) -> Sequence[Found]:
        try:
            return self._look()
        finally:
            connection.close()  # of this thread: kept, it could hide that the database cannot be reached now

    def _collect(self) -> None:
        if self._pending is not None and self._pending.done():
            failed = self._pending.exception() is not None
            self._known = self._known or () if failed else self._pending.result()
            self._pending, self._at = None, monotonic()


machine: Notes[Capability] = Notes(capabilities.all)
concerns: Notes[Concern] = Notes(needs_attention.concerns)
