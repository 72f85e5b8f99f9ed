"""Writes log lines in batches, because a build may write thousands a second."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from types import TracebackType

from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone

from redaction.redactor import Redactor
from servers import events, levels
from servers.models import LogLine
from servers.models.log import LogStream

logger = logging.getLogger(__name__)
FLUSH_SECONDS = 0.25
BATCH = 200
LONGEST_LINE = 8_000


def keep(server_id: int, lines: Iterable[LogLine]) -> None:
    """Inserts the lines in their order, sets their levels, and sends them to the live feed."""
    rows = list(lines)
    for row in rows:
        row.level = levels.level_of(row.text)
    LogLine.objects.bulk_create(rows)
    if rows:
        events.lines_written(server_id, rows)


class Logbook:
    """Writes the log of one deployment or restart, from its own thread. Thread-safe; lines keep their order.

    Used as a context manager: leaving the block writes all lines. `redact` removes secrets from each line.
    """

    def __init__(self, server_id: int, deployment_id: int) -> None:
        self.server_id, self.deployment_id, self.redact = server_id, deployment_id, Redactor()
        self._pending: list[LogLine] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._flush_for_ever, name=f"log-{deployment_id}", daemon=True)

    def __enter__(self) -> Logbook:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._wake.set()
        self._thread.join()
        self.flush()

    def write(self, text: str, stream: str = LogStream.BUILD, step_id: int | None = None) -> None:
        """Queues one line, which is written within FLUSH_SECONDS. `stream` is one of `LogStream`."""
        line = LogLine(
            server_id=self.server_id,
            deployment_id=self.deployment_id,
            step_id=step_id,
            stream=stream,
            at=timezone.now(),
            text=self.redact(text)[:LONGEST_LINE],
        )
        with self._lock:
            self._pending.append(line)
            full = len(self._pending) >= BATCH
        if full:
            self._wake.set()

    def flush(self) -> None:
        """Writes what is queued. Raises `DatabaseError` if that fails; the lines stay queued."""
        with self._writing:
            with self._lock:
                lines, self._pending = self._pending, []
            try:
                keep(self.server_id, lines)
            except DatabaseError:
                with self._lock:
                    self._pending = [*lines, *self._pending]
                raise

    def _flush_for_ever(self) -> None:
        while not self._closed:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            try:
                close_old_connections()
                self.flush()
            except DatabaseError:
                logger.warning("log lines of deployment %s wait for the database", self.deployment_id)
        connection.close()
