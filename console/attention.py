"""Which deployments and channels need attention. The overview and the filters of the lists share it."""

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
    """Deployments whose worker sends no heartbeat, that no worker starts, or that wait for approval.

    A queued deployment counts only while no worker is active at all: behind others it waits for its turn.
    """
    old = timezone.now() - SILENCE
    silent = Q(status=DeploymentStatus.RUNNING, heartbeat_at__lt=old)
    before = Deployment.objects.filter(status=DeploymentStatus.RUNNING).values("server")
    left = Q(status=DeploymentStatus.QUEUED, created_at__lt=old) & ~Q(server__in=before)
    held = Q(status=DeploymentStatus.HELD)
    waiting = (DeploymentStatus.QUEUED, DeploymentStatus.RUNNING, DeploymentStatus.HELD)
    return deployments.filter(silent | (left & _nobody_works(old)) | held, status__in=waiting)


def _nobody_works(since: datetime) -> Q:
    """True if no worker was active since then. A worker shows in rows only by its work: the heartbeat of a
    running deployment, or the end of one."""
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
