from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from servers.models.kept import Leased
from servers.states import DeploymentStatus, RunState


class RunQuerySet(models.QuerySet["Run"]):
    def live(self) -> RunQuerySet:
        return self.filter(ended_at__isnull=True)

    def started(self) -> RunQuerySet:
        """Live, and its runtime has it: it can be asked about."""
        return self.live().filter(handle__isnull=False)

    def waiting(self) -> RunQuerySet:
        """Restarts that no worker has taken up. What a deployment starts is held by the deployment."""
        return self.live().filter(UNCLAIMED, deployment__status=DeploymentStatus.SUCCEEDED)

    def due(self, resend_after: timedelta) -> RunQuerySet:
        """Waiting, and no message about them is on its way as far as we know."""
        old = timezone.now() - resend_after
        return self.waiting().filter(Q(enqueued_at__isnull=True) | Q(enqueued_at__lt=old))

    def claim(self, pk: int, worker: str) -> bool:
        """Whether this worker has the restart now. The condition names columns of this row alone: those the
        database compares once more when another has written the row meanwhile."""
        waiting = self.live().filter(UNCLAIMED, pk=pk)
        return bool(waiting.update(worker=worker, heartbeat_at=timezone.now(), began_at=timezone.now()))

    def lost(self, since: timedelta, is_gone: Callable[[str], bool]) -> list[Run]:
        """Restarts whose worker is gone or silent."""
        held = self.live().exclude(worker="").select_related("deployment__server")
        return [run for run in held if run.is_lost(since, is_gone)]


UNCLAIMED = Q(worker="", handle__isnull=True)


class Run(Leased):
    """One start of a build: what lives, or what lived. A deployment has its first; each restart is another.

    `handle` is what its runtime finds it by: `{endpoint, data}` of `hosting.runtimes.base.Handle`; None until
    it is started. `endpoint` is the URL that the gateway sends calls to; "" before it serves, and once it
    takes no new ones. Where there are several replicas, `endpoints` are their own by name, for a session
    stays with one. `output_cursor` is how far its output was taken into the log; its lines have ids above
    `log_start`. `uses` is `{cpu, memory_mb}` (cores, MiB) as last measured; None where nobody measures.
    `ready_at` is when it was found healthy and began to serve. `why` says why it ended, `reason` is the
    `registry.reasons.Reason` of that where one is known. A worker holds it while it starts it again.
    """

    deployment = models.ForeignKey("servers.Deployment", models.CASCADE, related_name="runs")
    runtime = models.CharField(max_length=12)
    handle = models.JSONField(null=True, blank=True)
    endpoint = models.CharField(max_length=500, blank=True, default="")
    endpoints = models.JSONField(default=dict, blank=True)
    output_cursor = models.TextField(blank=True, default="")
    uses = models.JSONField(null=True, blank=True)
    log_start = models.PositiveBigIntegerField(default=0)
    began_at = models.DateTimeField(default=timezone.now)
    ready_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    why = models.TextField(blank=True, default="")
    reason = models.CharField(max_length=24, blank=True, default="")

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

    @property
    def is_started(self) -> bool:
        """Its runtime has it: it can be asked about."""
        return self.is_live and self.handle is not None

    @property
    def state(self) -> RunState:
        if not self.is_live:
            return RunState.ENDED
        if self.endpoint:
            return RunState.SERVING
        if self.ready_at:
            return RunState.DRAINING
        waits = not self.worker and self.handle is None
        of_deployment = self.deployment.status != DeploymentStatus.SUCCEEDED
        return RunState.STARTING if of_deployment or not waits else RunState.QUEUED

    def held(self) -> RunQuerySet:
        return Run.objects.live().filter(pk=self.pk, worker=self.worker)
