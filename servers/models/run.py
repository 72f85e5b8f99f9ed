from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone


class RunQuerySet(models.QuerySet["Run"]):
    def live(self) -> RunQuerySet:
        return self.filter(ended_at__isnull=True)


class Run(models.Model):
    """One start of a build: what lives, or what lived.

    `handle` is what its runtime finds it by: `{endpoint, data}` of `hosting.runtimes.base.Handle`. `endpoint`
    is the URL that the gateway sends calls to; "" before it serves, and once it takes no new ones. Where
    there are several replicas, `endpoints` are their own by name, for a session stays with one.
    `output_cursor` is how far its output was taken into the log. `uses` is `{cpu, memory_mb}` (cores, MiB) as
    last measured; None where nobody measures. `why` says why it ended.
    """

    deployment = models.ForeignKey("servers.Deployment", models.CASCADE, related_name="runs")
    runtime = models.CharField(max_length=12)
    handle = models.JSONField()
    endpoint = models.CharField(max_length=500, blank=True, default="")
    endpoints = models.JSONField(default=dict, blank=True)
    output_cursor = models.TextField(blank=True, default="")
    uses = models.JSONField(null=True, blank=True)
    began_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    why = models.TextField(blank=True, default="")

    objects: ClassVar[models.Manager[Run]] = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["deployment"], condition=Q(ended_at=None), name="one_live_run_per_deployment"
            )
        ]

    def __str__(self) -> str:
        return f"{self.deployment}, begun {self.began_at:%Y-%m-%d %H:%M:%S}"

    @property
    def is_live(self) -> bool:
        return self.ended_at is None
