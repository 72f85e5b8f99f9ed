"""The one way in which a metric is written, and counted for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from metrics import prometheus
from metrics.models import UsageMetric


@dataclass(frozen=True)
class Event:
    """`details` must be JSON, with the contract's keys for that event type."""

    server_id: int
    deployment_id: int | None
    event_type: str
    details: Mapping[str, Any]
    timestamp: datetime = field(default_factory=timezone.now)


def record(
    *, server_id: int, deployment_id: int | None, event_type: str, details: Mapping[str, Any]
) -> UsageMetric:
    """Writes one event; see `Event`."""
    metric = _row(Event(server_id, deployment_id, event_type, details))
    metric.save(force_insert=True)
    prometheus.count(server_id, event_type, details)
    return metric


def record_many(events: Iterable[Event]) -> None:
    """Writes all or none of them, in one statement for each few hundred; nothing is announced."""
    events = list(events)
    UsageMetric.objects.bulk_create(map(_row, events))
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
