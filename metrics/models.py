"""Rows for what happened (docs/telemetry.md describes the events), and for sums of calls."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.utils import timezone

MINUTE, HOUR = 60, 3600  # of `CallTotal.seconds`


class UsageMetricQuerySet(models.QuerySet["UsageMetric"]):
    def newest_first(self) -> UsageMetricQuerySet:
        return self.order_by("-timestamp", "-id")

    def before(self, timestamp: datetime, pk: int) -> UsageMetricQuerySet:
        """Rows that come after (timestamp, pk) in the order newest first, for the next page."""
        older = models.Q(timestamp__lt=timestamp) | models.Q(timestamp=timestamp, pk__lt=pk)
        return self.filter(older, timestamp__lte=timestamp)

    def older_than(self, moment: datetime) -> UsageMetricQuerySet:
        return self.filter(timestamp__lt=moment)


class UsageMetric(models.Model):
    """One event. The REST API, the live feed and the log give its `details` unchanged.

    `platform` repeats `details["platform"]` as a column, because dashboards group by it.
    """

    server = models.ForeignKey("servers.Server", models.CASCADE, related_name="metrics")
    deployment = models.ForeignKey("servers.Deployment", models.SET_NULL, null=True, related_name="metrics")
    timestamp = models.DateTimeField(default=timezone.now)
    event_type = models.CharField(max_length=64)
    platform = models.CharField(max_length=32, blank=True, default="")
    details = models.JSONField(default=dict)

    objects: ClassVar[models.Manager[UsageMetric]] = UsageMetricQuerySet.as_manager()

    class Meta:
        ordering = ["-timestamp", "-id"]
        indexes = [
            models.Index(fields=["server", "-timestamp", "-id"], name="metric_server_newest"),
            models.Index(fields=["server", "event_type", "-timestamp"], name="metric_server_type"),
            models.Index(fields=["timestamp"], name="metric_timestamp"),
            # For counting events of deployments, which are few among the calls, from the index alone.
            models.Index(
                fields=["event_type", "timestamp", "platform", "server"],
                condition=~models.Q(event_type="mcp_call"),
                name="metric_not_calls",
            ),
        ]
        verbose_name = "event"

    def __str__(self) -> str:
        return f"{self.event_type} {self.timestamp:%Y-%m-%d %H:%M:%S}"


class CallRollup(models.Model):
    """Sums of the `mcp_call` events of one server and hour with the same method, tool and outcome.

    `name` is the tool or prompt, "" for other methods, and "*" for all names beyond those that are counted
    apart. `buckets[i]` counts the calls that took at most `methods.BOUNDS[i]` ms and more than the bound
    before; the last one counts those above all bounds.
    """

    server = models.ForeignKey("servers.Server", models.CASCADE, related_name="call_rollups")
    hour = models.DateTimeField()
    method = models.CharField(max_length=64)
    name = models.CharField(max_length=200, blank=True, default="")
    outcome = models.CharField(max_length=16)
    calls = models.PositiveBigIntegerField(default=0)
    duration_ms = models.PositiveBigIntegerField(default=0, help_text="Of all calls together.")
    bytes_in = models.PositiveBigIntegerField(default=0)
    bytes_out = models.PositiveBigIntegerField(default=0)
    buckets = models.JSONField(default=list)

    SUMS: ClassVar = ("calls", "duration_ms", "bytes_in", "bytes_out")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["server", "hour", "method", "name", "outcome"], name="call_rollup_once"
            )
        ]
        indexes = [models.Index(fields=["hour"], name="call_rollup_hour")]

    def __str__(self) -> str:
        return f"{self.method} {self.name} {self.outcome} {self.hour:%Y-%m-%d %H}h"


class RollupPosition(models.Model):
    """One row. Events up to the id `done` are in the rollups. `seen` was the newest id at `seen_at`."""

    done = models.PositiveBigIntegerField(default=0)
    seen = models.PositiveBigIntegerField(default=0)
    seen_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"rolled up to {self.done}"


class CallTotal(models.Model):
    """Sums of all `mcp_call` events that began in one minute or hour (`seconds`), for charts.

    `server` null stands for the whole platform. `client` "" stands for all clients; sums by the name of the
    client exist only by the hour and for one server. `buckets` are as in `CallRollup`.
    """

    server = models.ForeignKey("servers.Server", models.CASCADE, null=True, related_name="call_totals")
    client = models.CharField(max_length=100, blank=True, default="")
    seconds = models.PositiveSmallIntegerField()
    start = models.DateTimeField()
    calls = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0)
    duration_ms = models.PositiveBigIntegerField(default=0, help_text="Of all calls together.")
    buckets = models.JSONField(default=list)

    SUMS: ClassVar = ("calls", "errors", "duration_ms")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["server", "client", "seconds", "start"], name="call_total_once"),
            models.UniqueConstraint(
                fields=["seconds", "start"], condition=models.Q(server=None), name="call_total_of_all_once"
            ),
        ]
        indexes = [models.Index(fields=["seconds", "start"], name="call_total_start")]

    def __str__(self) -> str:
        return f"{self.calls} calls in {self.seconds} s from {self.start:%Y-%m-%d %H:%M}"
