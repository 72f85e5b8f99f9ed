"""Writes metrics and counts them for Prometheus. No other module writes metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from django.db import connection, transaction
from django.utils import timezone

from metrics import prometheus
from metrics.models import UsageMetric

INSERT = (
    "INSERT INTO metrics_usagemetric (server_id, deployment_id, event_type, timestamp, platform, details) "
    "VALUES (%s, %s, %s, %s, %s, %s)"
)


@dataclass(frozen=True)
class Event:
    """One event. `details` are JSON, with the keys that docs/telemetry.md names for this type."""

    server_id: int
    deployment_id: int | None
    event_type: str
    details: Mapping[str, Any]
    timestamp: datetime = field(default_factory=timezone.now)


def record(
    *, server_id: int, deployment_id: int | None, event_type: str, details: Mapping[str, Any]
) -> UsageMetric:
    """Writes one event; see `Event`. The caller sends it to the live feed."""
    metric = _row(Event(server_id, deployment_id, event_type, details))
    metric.save(force_insert=True)
    prometheus.count(server_id, event_type, details)
    return metric


def record_many(events: Iterable[Event]) -> None:
    """Writes all events or none, and sends nothing to the live feed.

    It uses SQL, because objects cost several times as much, and there may be thousands of calls a second.
    """
    events = list(events)
    with transaction.atomic(), connection.cursor() as cursor:
        moment = connection.ops.adapt_datetimefield_value
        cursor.executemany(INSERT, [_columns(event, moment) for event in events])
    for event in events:
        prometheus.count(event.server_id, event.event_type, event.details)


def _row(event: Event) -> UsageMetric:
    return UsageMetric(
        server_id=event.server_id,
        deployment_id=event.deployment_id,
        event_type=event.event_type,
        timestamp=event.timestamp,
        platform=str(event.details.get("platform", "")),
        details=dict(event.details),
    )


def _columns(event: Event, moment: Callable[[datetime], Any]) -> tuple[Any, ...]:
    """Returns the values in the order of `INSERT`."""
    return (
        event.server_id,
        event.deployment_id,
        event.event_type,
        moment(event.timestamp),
        str(event.details.get("platform", "")),
        orjson.dumps(event.details).decode(),
    )
