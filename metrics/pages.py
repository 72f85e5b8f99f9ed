"""Reads pages of metrics, newest first. A page begins after a key, so new rows shift nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metrics import payload
from metrics.models import UsageMetric, UsageMetricQuerySet

Key = tuple[datetime, int]


@dataclass(frozen=True)
class Wanted:
    """Filters; empty means all. `since` is included, `until` is not."""

    event_types: Sequence[str] = ()
    platforms: Sequence[str] = ()
    deployment: int | None = None
    since: datetime | None = None
    until: datetime | None = None


def read(
    server_id: int, wanted: Wanted, *, limit: int, after: Key | None = None
) -> tuple[list[dict[str, Any]], Key | None]:
    """Returns at most `limit` metrics as JSON objects, and the key of the next page or None."""
    rows = _chosen(server_id, wanted)
    if after:
        rows = rows.before(*after)
    found = list(rows.newest_first().values(*payload.COLUMNS)[: limit + 1])
    last = found[limit - 1] if len(found) > limit else None
    return list(payload.of_rows(found[:limit])), (last["timestamp"], last["id"]) if last else None


def _chosen(server_id: int, wanted: Wanted) -> UsageMetricQuerySet:
    filters: dict[str, Any] = {
        "event_type__in": wanted.event_types,
        "platform__in": wanted.platforms,
        "deployment": wanted.deployment,
        "timestamp__gte": wanted.since,
        "timestamp__lt": wanted.until,
    }
    given = {name: value for name, value in filters.items() if value not in (None, (), [])}
    rows: UsageMetricQuerySet = UsageMetric.objects.filter(server_id=server_id, **given)
    return rows
