"""Calls and tokens' last use, written in batches by a thread of its own: the data path never waits for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable

from django.db import DatabaseError, DataError, IntegrityError, close_old_connections, connections
from django.utils import timezone

from gateway.calls import Call
from metrics.models import UsageMetric
from servers.models import Deployment, Server, Token

log = logging.getLogger(__name__)
EVENT_TYPE = "mcp_call"
BATCH = 500


class UsageWriter:
    """Holds at most `most` calls while the database is away; `dropped` counts those that found no room."""

    def __init__(self, *, most: int = 10_000, every: float = 1.0) -> None:
        self._most, self._every = most, every
        self._calls: deque[Call] = deque()
        self._used: set[int] = set()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._away = False
        self.dropped = 0

    def record(self, call: Call) -> None:
        self._used.add(call.token_id)
        if not call.counts:
            return
        if len(self._calls) >= self._most:
            self.dropped += 1
            return
        self._calls.append(call)

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gateway-usage", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Blocks until what is held is written, or the database refuses it once more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            self._flush()
        self._flush()
        connections.close_all()

    def _flush(self) -> None:
        close_old_connections()
        try:
            self._write_use()
            while self._calls:
                self._write_batch()
        except DatabaseError:
            self._report_away()
        else:
            self._away = False
        finally:
            close_old_connections()

    def _write_use(self) -> None:
        used, self._used = self._used, set()
        if used:
            Token.objects.filter(pk__in=list(used)).update(last_used_at=timezone.now())

    def _write_batch(self) -> None:
        batch = [self._calls.popleft() for _ in range(min(BATCH, len(self._calls)))]
        try:
            UsageMetric.objects.bulk_create(_rows(batch))
        except (IntegrityError, DataError):
            # A row went between the look and the write, or cannot be written at all: do not try it for ever.
            self.dropped += len(batch)
            log.warning("calls could not be recorded", exc_info=True)
        except DatabaseError:
            self._calls.extendleft(reversed(batch))
            raise

    def _report_away(self) -> None:
        if not self._away:
            log.warning("calls are not recorded: the database is away", exc_info=True)
        self._away = True


def _rows(calls: Iterable[Call]) -> list[UsageMetric]:
    """Rows of the calls whose server still exists; a deployment that was trimmed becomes null."""
    calls = list(calls)
    servers = set(_existing(Server, {call.server_id for call in calls}))
    deployments = set(_existing(Deployment, {call.deployment_id for call in calls}))
    return [_row(call, deployments) for call in calls if call.server_id in servers]


def _existing(model: type[Server] | type[Deployment], ids: set[int]) -> Iterable[int]:
    return model._default_manager.filter(pk__in=ids).values_list("pk", flat=True)


def _row(call: Call, deployments: set[int]) -> UsageMetric:
    return UsageMetric(
        server_id=call.server_id,
        deployment_id=call.deployment_id if call.deployment_id in deployments else None,
        timestamp=call.at,
        event_type=EVENT_TYPE,
        details=call.details(),
    )
