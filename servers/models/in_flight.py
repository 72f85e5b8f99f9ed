from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone

from servers.models.deployment import Deployment

SAID_FOR = timedelta(seconds=15)  # a gateway that has written nothing for longer is gone


class CallsInFlightQuerySet(models.QuerySet["CallsInFlight"]):
    def known_now(self) -> CallsInFlightQuerySet:
        """Those of gateways that are alive."""
        return self.filter(at__gte=timezone.now() - SAID_FOR)


class CallsInFlight(models.Model):
    """How many calls one gateway process still has at a replaced deployment; it writes this every second."""

    gateway = models.CharField(max_length=32)
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="in_flight")
    calls = models.PositiveIntegerField()
    at = models.DateTimeField()

    objects: ClassVar[models.Manager[CallsInFlight]] = CallsInFlightQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["gateway", "deployment"], name="in_flight_said_once")]

    def __str__(self) -> str:
        return f"{self.deployment_id}: {self.calls}"
