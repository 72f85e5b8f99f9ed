"""Builds the JSON object of a metric, which the REST API and the live feed send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from metrics.models import UsageMetric

COLUMNS = ("id", "server_id", "deployment_id", "timestamp", "event_type", "details")


def of(metric: UsageMetric) -> dict[str, Any]:
    """Builds the JSON object of a metric."""
    return of_row({column: getattr(metric, column) for column in COLUMNS})


def of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Builds it from a row of `.values(*COLUMNS)`, which takes a third of the time that a model takes."""
    return {
        "id": row["id"],
        "server": row["server_id"],
        "deployment": row["deployment_id"],
        "timestamp": moment(row["timestamp"]),
        "event_type": row["event_type"],
        "details": row["details"],
    }


def of_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    return map(of_row, rows)


def moment(value: datetime) -> str:
    """Formats a time by RFC 3339, in UTC and with microseconds: `2026-11-22T16:55:53.000001Z`."""
    return value.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
