from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone

from servers import states
from servers.models.build import Build
from servers.models.kept import Leased
from servers.models.run import Run
from servers.models.server import DesiredState, Server
from servers.states import DeploymentStatus, Mode, ServerStatus, StepKind, StepStatus, Trigger

LIVE = Q(run__isnull=False, run__ended_at__isnull=True)


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    def open(self) -> DeploymentQuerySet:
        """Queued or running."""
        return self.filter(status__in=states.OPEN)

    def claimable(self) -> DeploymentQuerySet:
        """Queued, with no running deployment of the same server."""
        running = Deployment.objects.filter(server=models.OuterRef("server"), status=DeploymentStatus.RUNNING)
        return self.filter(~models.Exists(running), status=DeploymentStatus.QUEUED)

    def good(self) -> DeploymentQuerySet:
        """Succeeded, and their build can still be started."""
        return self.exclude(build__image="", build__directory="").filter(status=DeploymentStatus.SUCCEEDED)

    def with_run(self) -> DeploymentQuerySet:
        """Those whose run has not ended."""
        return self.filter(LIVE)

    def with_starts(self) -> DeploymentQuerySet:
        """Adds `starts`, the number of runs: one for the first start and one for each restart; None if there
        are none."""
        mine = Run.objects.filter(deployment=models.OuterRef("pk")).order_by().values("deployment")
        return self.annotate(starts=models.Subquery(mine.values(count=models.Count("pk"))))

    def leftover(self) -> DeploymentQuerySet:
        """Those with a run that has not ended, without the current deployments of servers that should run."""
        serves = Q(server__desired_state=DesiredState.RUNNING, pk=F("server__current_deployment"))
        return self.with_run().exclude(serves)

    def at_work(self) -> DeploymentQuerySet:
        """Those that a worker has claimed, and holds or has lost."""
        return self.filter(status=DeploymentStatus.RUNNING)

    def put_back(self, deployment: Deployment) -> bool:
        """Puts a running deployment back into the queue, or ends it as superseded if a newer one waits there.

        Returns False, and changes nothing, if the worker that `deployment` was read with does not hold it any
        more.
        """
        with transaction.atomic():
            Server.objects.locked().get(pk=deployment.server_id)
            if back := self._let_go(deployment):
                deployment.steps.close_lost()
                deploying = Server.objects.filter(status__in=states.DEPLOYING)
                deploying.move(deployment.server_id, ServerStatus.PENDING)
            return back

    def _let_go(self, deployment: Deployment) -> bool:
        """Moves the row. False if the worker that `deployment` was read with does not hold it any more."""
        held = deployment.held()
        if self.filter(server=deployment.server_id, status=DeploymentStatus.QUEUED).exists():
            return held.move(deployment.pk, DeploymentStatus.SUPERSEDED, finished_at=timezone.now())
        return held.move(deployment.pk, DeploymentStatus.QUEUED, enqueued_at=None)

    def move(self, pk: int, to: DeploymentStatus, **changes: Any) -> bool:
        """Changes the status, in one guarded update. False if the present status does not allow it."""
        allowed = states.DEPLOYMENT_MOVES[to]
        return bool(self.filter(pk=pk, status__in=allowed).update(status=to, **changes))


class Deployment(Leased):
    """One request to deploy a server, which a worker carries out, and its outcome.

    `build` is what it starts. The deployment made this build itself if the numbers are equal. `run` is the
    newest of its `runs`. `facts` is what the handshake found (`hosting.handshake.ServerFacts`). `discovery`
    holds the tools, prompts and resources as listed. `tool_changes` says how the tools differ from those of
    the deployment before (`servers.deploying.gate.as_json`); {} means not at all. `configuration` is what it
    was started with (`servers.deploying.starting`). `error_reason` is a `registry.reasons.Reason`, by
    which runbooks decide.
    """

    server = models.ForeignKey(Server, models.CASCADE, related_name="deployments")
    number = models.PositiveIntegerField()
    build = models.ForeignKey(Build, models.RESTRICT, related_name="deployments")
    trigger = models.CharField(max_length=12, choices=[(t.value, t.value.capitalize()) for t in Trigger])
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    mode = models.CharField(max_length=12, choices=[(m.value, m.value) for m in Mode], default=Mode.LATEST)
    based_on = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="+")
    refresh_credentials = models.BooleanField(
        default=False, help_text="Renew the registry's credentials before anything is pushed."
    )
    platform_anew = models.CharField(
        max_length=32, blank=True, default="", help_text="Of what is resumed, this platform is built again."
    )
    push_retries = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Attempts of each push, in place of REGISTRY_PUSH_RETRIES."
    )
    status = models.CharField(
        max_length=12,
        choices=[(s.value, states.work_look(s).label) for s in DeploymentStatus],
        default=DeploymentStatus.QUEUED,
    )
    cancel_requested = models.BooleanField(default=False)
    error_kind = models.CharField(max_length=12, blank=True, default="")
    error_reason = models.CharField(max_length=24, blank=True, default="")
    error = models.TextField(blank=True, default="")
    wanted_revision = models.CharField(
        max_length=200, blank=True, default="", help_text="The commit that was asked for; empty: the newest."
    )
    configuration = models.JSONField(default=dict, blank=True)
    run = models.ForeignKey(Run, models.SET_NULL, null=True, blank=True, related_name="+")
    facts = models.JSONField(default=dict)
    discovery = models.JSONField(default=dict)
    tool_changes = models.JSONField(default=dict, blank=True)
    claims = models.PositiveIntegerField(default=0, help_text="How many workers have taken it up.")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager[Deployment]] = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["server", "number"], name="deployment_number_once"),
            models.UniqueConstraint(
                fields=["server"], condition=Q(status="running"), name="one_running_deployment_per_server"
            ),
            models.UniqueConstraint(
                fields=["server"], condition=Q(status="queued"), name="one_queued_deployment_per_server"
            ),
        ]
        indexes = [models.Index(fields=["status", "heartbeat_at"]), models.Index(fields=["-created_at"])]

    def __str__(self) -> str:
        return f"{self.server.slug} #{self.number}"

    def held(self) -> DeploymentQuerySet:
        """Selects the running deployment, while the worker and the claim are those that it was read with."""
        own = Deployment.objects.filter(pk=self.pk, status=DeploymentStatus.RUNNING)
        return own.filter(worker=self.worker, claims=self.claims)

    def is_asked_to_stop(self) -> bool:
        return Deployment.objects.filter(pk=self.pk, cancel_requested=True).exists()

    @property
    def is_final(self) -> bool:
        return self.status in states.FINAL

    @property
    def is_serving(self) -> bool:
        """Whether new calls go to it.

        A deployment that was replaced keeps its endpoint for a while, but gets calls of its old sessions
        only.
        """
        return self.takes_calls and self.server.current_deployment_id == self.pk

    @property
    def takes_calls(self) -> bool:
        """Whether its run has an endpoint."""
        return self.run is not None and bool(self.run.endpoint)

    @property
    def live_run(self) -> Run | None:
        """Its run, if that has not ended."""
        return self.run if self.run and self.run.is_live else None

    @property
    def ended_or_now(self) -> datetime:
        return self.finished_at or timezone.now()

    @property
    def ms_so_far(self) -> int:
        """Milliseconds since a worker first claimed it; 0 if none has."""
        now = timezone.now()
        return int((now - (self.started_at or now)).total_seconds() * 1000)

    @property
    def makes_build(self) -> bool:
        """Whether it fetches and builds. Otherwise it starts the build of another deployment."""
        return self.build.number == self.number

    @property
    def resumed(self) -> Deployment | None:
        """The deployment that this one continues, and whose images it takes over; None if it resumes none."""
        return self.based_on if self.mode == Mode.RESUME else None


class StepQuerySet(models.QuerySet["Step"]):
    def close_lost(self) -> None:
        """Cancels the running steps, because their worker was lost."""
        begun = self.filter(status=StepStatus.RUNNING)
        begun.update(status=StepStatus.CANCELLED, finished_at=timezone.now(), error="The worker was lost.")


class Step(models.Model):
    """One step of a deployment, or of a restart (`run`).

    `platform` is "" for a step that is not per platform.
    """

    deployment = models.ForeignKey(Deployment, models.CASCADE, null=True, blank=True, related_name="steps")
    run = models.ForeignKey(Run, models.CASCADE, null=True, blank=True, related_name="steps")
    kind = models.CharField(max_length=12, choices=[(k.value, k.value.capitalize()) for k in StepKind])
    platform = models.CharField(max_length=32, blank=True, default="")
    status = models.CharField(
        max_length=12,
        choices=[(s.value, states.work_look(s).label) for s in StepStatus],
        default=StepStatus.RUNNING,
    )
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    error_kind = models.CharField(max_length=12, blank=True, default="")
    error = models.TextField(blank=True, default="")
    details = models.JSONField(default=dict)

    objects: ClassVar[models.Manager[Step]] = StepQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "kind", "platform"], name="step_once"),
            models.UniqueConstraint(fields=["run", "kind"], name="step_of_restart_once"),
            models.CheckConstraint(
                condition=Q(deployment=None) ^ Q(run=None), name="step_of_deployment_or_restart"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.platform}".strip()

    @property
    def duration(self) -> timedelta:
        return (self.finished_at or timezone.now()) - self.started_at
