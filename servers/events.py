"""Sends events to the live feed. No other module does.

Events are sent after the commit. A failure is only logged, because the database already holds what the event
says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import orjson
from django.db import transaction

from access import roles
from metrics import payload
from metrics.models import UsageMetric
from servers import payloads
from servers.models import LogLine, Server, Step
from servers.streams import access, storage
from servers.wakeups import bus

LINES, BYTES = 200, 64 * 1024
logger = logging.getLogger(__name__)


def metric_recorded(metric: UsageMetric) -> None:
    """Sends one metric to `server-<id>-metrics` after the commit."""
    _after_commit(partial(_send, access.metrics_channel(metric.server_id), "metric", [payload.of(metric)]))


def step_progressed(server_id: int, step: Step, details: Mapping[str, Any]) -> None:
    """Sends a push's `progress`, in bytes, to `server-<id>-metrics` after the commit."""
    said = payloads.step_progress(step, details)
    _after_commit(partial(_send, access.metrics_channel(server_id), "progress", [said]))


def lines_written(server_id: int, lines: Sequence[LogLine]) -> None:
    """Sends log lines to `server-<id>-logs` after the commit, in batches of at most LINES lines and BYTES."""
    batches = list(_batches([payloads.log_line(line) for line in lines]))
    if batches:
        _after_commit(partial(_send, access.logs_channel(server_id), "log", batches))


def status_changed(server_id: int) -> None:
    """Sends the server's status to everybody who sees the server, after the commit.

    For a server whose row is deleted in this transaction, call it before the deletion.
    """
    known = Server.objects.filter(pk=server_id).values_list("slug", "owner_id", "team_id").first()
    if known:
        slug, owner_id, team_id = known
        _after_commit(partial(_send_status, server_id, slug, {owner_id, *roles.members_of(team_id)}))


def calls_counted() -> None:
    """Tells administrators that there are new sums of calls, so that pages load their charts again."""
    _after_commit(partial(_send, access.EVERY_STATUS, "calls", [{}]))


def _send_status(server_id: int, slug: str, people: Iterable[int]) -> None:
    server = payloads.with_newest_deployment(Server.objects.filter(pk=server_id)).first()
    status = payloads.server_status(server) if server else payloads.server_gone(server_id, slug)
    for channel in (access.EVERY_STATUS, *map(access.own_statuses, people)):
        _send(channel, "status", [status])


def _send(channel: str, event_type: str, data: Sequence[Any]) -> None:
    storage.append(channel, [(event_type, orjson.dumps(one, default=str).decode()) for one in data])
    bus.send(channel)


def _after_commit(announce: Callable[[], None]) -> None:
    def announced() -> None:
        try:
            announce()
        except Exception:
            logger.exception("an announcement was lost")

    transaction.on_commit(announced)


def _batches(lines: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Splits the lines into batches that fit into one event each; their order stays."""
    batch: list[dict[str, Any]] = []
    size = 0
    for line in lines:
        if batch and (len(batch) >= LINES or size + len(line["text"]) > BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line["text"])
    if batch:
        yield batch
