from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from servers.models.kept import Leased
from servers.states import DeploymentStatus, RunState


class RunQuerySet(models.QuerySet["Run"]):
    def live(self) -> RunQuerySet:
        """Those that have not ended."""
        return self.filter(ended_at__isnull=True)

    def started(self) -> RunQuerySet:
        """Live runs that their runtime has started, so that it can be asked about them."""
        return self.live().filter(handle__isnull=False)

    def waiting(self) -> RunQuerySet:
        """Restarts that no worker has claimed.

        The first run of a deployment belongs to the deployment's worker.
        """
        return self.live().filter(UNCLAIMED, deployment__status=DeploymentStatus.SUCCEEDED)

    def claim(self, pk: int, worker: str) -> bool:
        """Claims a restart for `worker`, and tells whether that worked.

        If two workers try at once, only one update finds the row unclaimed. This holds because the condition
        names columns of this row only: the database checks these again after it has waited for another update
        of the row.
        """
        waiting = self.live().filter(UNCLAIMED, pk=pk)
        return bool(waiting.update(worker=worker, heartbeat_at=timezone.now(), began_at=timezone.now()))

    def at_work(self) -> RunQuerySet:
        """Restarts that a worker has claimed, and holds or has lost."""
        return self.live().exclude(worker="")


UNCLAIMED = Q(worker="", handle__isnull=True)


class Run(Leased):
    """One start of a build. A deployment has one, and one more for each restart.

    `handle` is how its runtime finds it: `{endpoint, data}` of `hosting.runtimes.base.Handle`; None until it
    is started. `endpoint` is the URL that the gateway sends calls to; "" before it serves, and after it was
    retired. `endpoints` are the URLs of its replicas by name, if it has several; calls of a session go to one
    replica. `output_cursor` says how far its output is in the log; its lines have ids above `log_start`.
    `uses` is `{cpu, memory_mb}` (cores, MiB) as measured last; None if unknown. `ready_at` is when it was
    found healthy and began to serve. `why` says why it ended, and `reason` is the `registry.reasons.Reason`
    of that, or "". The columns of the lease are used only while a worker restarts it.
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
        """Whether its runtime has started it, so that it can be asked about it."""
        return self.is_live and self.handle is not None

    @property
    def state(self) -> RunState:
        """The state that is shown, from the columns of the run and the status of its deployment."""
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
        """Selects the live run, while the worker is the one that it was read with."""
        return Run.objects.live().filter(pk=self.pk, worker=self.worker)
