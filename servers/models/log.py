from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models

from servers import levels
from servers.models.deployment import Deployment, Step
from servers.models.server import Server


class LogStream(models.TextChoices):
    BUILD = "build", "Build"
    STDOUT = "stdout", "stdout"
    STDERR = "stderr", "stderr"
    PLATFORM = "platform", "Platform"


class LogLineQuerySet(models.QuerySet["LogLine"]):
    """Log lines. Select those of one server or deployment first: text and time have no index of their own."""

    def holding(self, text: str) -> LogLineQuerySet:
        """Lines that contain `text` in any case; "" selects all."""
        return self.filter(text__icontains=text) if text else self

    def at_least(self, level: str) -> LogLineQuerySet:
        """Lines of this level and higher ones. "" selects all, also lines without a level."""
        return self.filter(level__in=levels.at_least(level)) if level else self

    def between(self, since: datetime | None, until: datetime | None) -> LogLineQuerySet:
        """Lines from `since` (included) until `until` (excluded)."""
        lines = self.filter(at__gte=since) if since else self
        return lines.filter(at__lt=until) if until else lines

    def around(self, pk: int, count: int) -> list[LogLine]:
        """Returns `count` lines around this one: half of them up to it, the others after it, oldest first."""
        before = list(self.filter(pk__lte=pk).order_by("-pk")[: count // 2])
        return [*reversed(before), *self.filter(pk__gt=pk).order_by("pk")[: count - len(before)]]

    def newest(self, count: int) -> list[LogLine]:
        """Returns the newest lines, oldest first."""
        return list(self.order_by("-pk")[:count])[::-1]


class LogLine(models.Model):
    """One line of a deployment's work or of a server's output. Ids rise in the order of writing."""

    server = models.ForeignKey(Server, models.CASCADE, related_name="log_lines")
    deployment = models.ForeignKey(Deployment, models.CASCADE, null=True, related_name="log_lines")
    step = models.ForeignKey(Step, models.SET_NULL, null=True, related_name="log_lines")
    stream = models.CharField(max_length=8, choices=LogStream.choices)
    level = models.CharField(max_length=7, blank=True, default="")
    at = models.DateTimeField()
    text = models.TextField()

    objects: ClassVar[models.Manager[LogLine]] = LogLineQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["server", "id"]), models.Index(fields=["deployment", "id"])]

    def __str__(self) -> str:
        return self.text
