"""What needs a person beside servers: the same rows on the overview and in the list that it leads to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Exists, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from notices.models import AILING
from servers.models import Deployment
from servers.states import DeploymentStatus

SILENCE = timedelta(minutes=2)
BY_A_WORKER = (
    DeploymentStatus.SUCCEEDED,
    DeploymentStatus.FAILED,
    DeploymentStatus.CANCELLED,
    DeploymentStatus.HELD,
)


def stuck(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """Those whose worker has fallen silent, those that no worker is there to take up, and those that wait for
    approval. Behind others, of whatever server, one waits for its turn."""
    old = timezone.now() - SILENCE
    silent = Q(status=DeploymentStatus.RUNNING, heartbeat_at__lt=old)
    before = Deployment.objects.filter(status=DeploymentStatus.RUNNING).values("server")
    left = Q(status=DeploymentStatus.QUEUED, created_at__lt=old) & ~Q(server__in=before)
    held = Q(status=DeploymentStatus.HELD)
    waiting = (DeploymentStatus.QUEUED, DeploymentStatus.RUNNING, DeploymentStatus.HELD)
    return deployments.filter(silent | (left & _nobody_works(old)) | held, status__in=waiting)


def _nobody_works(since: datetime) -> Q:
    """Of a worker without work no row tells; one with work beats while it has it, and leaves its end."""
    beats = Deployment.objects.filter(status=DeploymentStatus.RUNNING, heartbeat_at__gte=since)
    ended = Deployment.objects.filter(status__in=BY_A_WORKER, finished_at__gte=since).exclude(worker="")
    return ~Exists(beats) & ~Exists(ended)


class _Needed(SimpleListFilter):
    title = "attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("needed", "Needs attention")]

    def needed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return self.needed(queryset) if self.value() == "needed" else queryset


class OfDeployments(_Needed):
    def needed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return stuck(rows)


class OfChannels(_Needed):
    def needed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(AILING)
