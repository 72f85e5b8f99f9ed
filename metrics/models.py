"""What happened: one row per event, as the telemetry contract describes it."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.utils import timezone


class UsageMetricQuerySet(models.QuerySet["UsageMetric"]):
    def newest_first(self) -> UsageMetricQuerySet:
        return self.order_by("-timestamp", "-id")

    def before(self, timestamp: datetime, pk: int) -> UsageMetricQuerySet:
        """The rows that follow (timestamp, pk) in newest-first order: a keyset page."""
        older = models.Q(timestamp__lt=timestamp) | models.Q(timestamp=timestamp, pk__lt=pk)
        return self.filter(older, timestamp__lte=timestamp)

    def older_than(self, moment: datetime) -> UsageMetricQuerySet:
        return self.filter(timestamp__lt=moment)


class UsageMetric(models.Model):
    """One event; `details` is what REST returns, SSE sends and the log line carries, unchanged.

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
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.timestamp:%Y-%m-%d %H:%M:%S}"
