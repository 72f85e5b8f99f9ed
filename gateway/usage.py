"""Writes calls and the last use of tokens in batches, in a thread of its own: calls never wait for it."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable

from django.db import DataError, Error, IntegrityError, close_old_connections, connections
from django.utils import timezone

from gateway import masking
from gateway.calls import Call
from metrics import prometheus, recorder
from metrics.recorder import Event
from redaction.redactor import Redactor
from servers.models import Deployment, Secret, Server, Token
from servers.secretbox import Unreadable

log = logging.getLogger(__name__)
EVENT_TYPE = "mcp_call"
BATCH = 500
MOST_CONTENT = 16 * 1024**2  # bytes of arguments and results that are not written yet
LOOKED_AT = 64 * 1024
SWITCH = 0.0005


class UsageWriter:
    """Holds at most `most` calls while the database is away; `dropped` counts further ones.

    Arguments and results have a limit of their own; beyond it, calls are recorded without them. `every` is
    the pause between two batches in seconds. `also` is called before each batch.
    """

    def __init__(
        self, *, most: int = 10_000, every: float = 1.0, also: Callable[[], None] | None = None
    ) -> None:
        self._most, self._every, self._also = most, every, also
        self._calls: deque[Call] = deque()
        self._used: set[int] = set()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._away = False
        self._content = 0
        self.dropped = 0

    def record(self, call: Call) -> None:
        """Adds a call, and notes the use of its token."""
        if call.token_id > 0:  # a token of the platform
            self._used.add(call.token_id)
        if not call.counts:
            return
        if len(self._calls) >= self._most:
            self._drop(1)
            return
        if call.content:
            self._weigh(call)
        self._calls.append(call)

    def _weigh(self, call: Call) -> None:
        if self._content > MOST_CONTENT:
            call.content = None
        self._content += _size(call)

    def _drop(self, count: int) -> None:
        self.dropped += count
        prometheus.DROPPED.inc(count)

    def start(self) -> None:
        """Starts the thread, if it does not run."""
        if self._thread is None:
            # By default Python lets a busy thread run for 5 ms while the event loop waits.
            sys.setswitchinterval(SWITCH)
            self._thread = threading.Thread(target=self._run, name="gateway-usage", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Blocks until the remaining calls are written, or the database refuses them once more."""
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
            if self._also:
                self._also()
            self._write_use()
            while self._calls:
                self._write_batch()
        except Error:
            self._report_away()
        else:
            self._away = False
        finally:
            prometheus.WAITING.set(len(self._calls))
            close_old_connections()

    def _write_use(self) -> None:
        used, self._used = self._used, set()
        if used:
            Token.objects.filter(pk__in=list(used)).update(last_used_at=timezone.now())

    def _write_batch(self) -> None:
        batch = [self._calls.popleft() for _ in range(min(BATCH, len(self._calls)))]
        try:
            recorder.record_many(_events(batch))
        except (IntegrityError, DataError):
            # A row was deleted meanwhile, or cannot be written at all: do not try again for ever.
            self._drop(len(batch))
            log.warning("calls could not be recorded", exc_info=True)
        except Error:
            self._calls.extendleft(reversed(batch))
            raise
        self._content = max(0, self._content - sum(map(_size, batch)))

    def _report_away(self) -> None:
        if not self._away:
            log.warning("calls are not recorded: the database is away", exc_info=True)
        self._away = True


def _size(call: Call) -> int:
    return min(call.bytes_in, LOOKED_AT) + min(call.bytes_out, LOOKED_AT) if call.content else 0


def _events(calls: Iterable[Call]) -> list[Event]:
    """Returns the events of calls whose server still exists; a deleted deployment becomes null."""
    calls = list(calls)
    servers = set(_existing(Server, {call.server_id for call in calls}))
    deployments = set(_existing(Deployment, {call.deployment_id for call in calls}))
    masks = _masks({call.server_id for call in calls if call.content})
    return [_event(call, deployments, masks) for call in calls if call.server_id in servers]


def _existing(model: type[Server] | type[Deployment], ids: set[int]) -> Iterable[int]:
    return model._default_manager.filter(pk__in=ids).values_list("pk", flat=True)


def _masks(server_ids: set[int]) -> dict[int, Redactor]:
    """Returns, for each server, what masks the values of its secrets."""
    values: dict[int, list[str]] = {server_id: [] for server_id in server_ids}
    for secret in Secret.objects.filter(server_id__in=server_ids):
        with contextlib.suppress(Unreadable):
            values[secret.server_id].append(secret.reveal())
    return {server_id: Redactor(known) for server_id, known in values.items()}


def _event(call: Call, deployments: set[int], masks: dict[int, Redactor]) -> Event:
    kept = masking.shown(call.content, masks[call.server_id]) if call.content else {}
    return Event(
        server_id=call.server_id,
        deployment_id=call.deployment_id if call.deployment_id in deployments else None,
        event_type=EVENT_TYPE,
        details={**call.details(), **kept},
        timestamp=call.at,
    )
