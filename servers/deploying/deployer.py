"""The steps of a deployment, in their order."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from hosting.builder import context as build_context
from hosting.deadline import ON_REQUEST, Deadline
from hosting.errors import Cancelled, SourceError, UserError
from hosting.runtimes.base import Runtime
from hosting.sources.base import ExistingImage
from servers import closing, events, notify, runtime_choice, settle_status
from servers.deploying import (
    building,
    fetching,
    gate,
    heartbeat,
    publishing,
    pulls,
    pushing,
    runs,
    runtimes,
    starting,
    workers,
)
from servers.deploying.starting import Start
from servers.logbook import Logbook
from servers.models import Build, Deployment, Run, Server
from servers.models.server import DesiredState, Transport
from servers.states import DeploymentStatus, ServerStatus, Trigger
from servers.timeline import Timeline, internal_error

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A deployment that this worker has claimed, and what its steps use."""

    deployment: Deployment
    server: Server
    timeline: Timeline
    deadline: Deadline

    @property
    def build(self) -> Build:
        return self.deployment.build

    @property
    def runtime(self) -> Runtime:
        return runtimes.runtime(self.build.runtime)

    @property
    def work(self) -> Path:
        """Scratch space, which is deleted when the deployment ends."""
        return runtimes.scratch_directory() / f"{self.deployment.pk}-{self.deployment.claims}"


def run(deployment_id: int) -> None:
    """Claims the deployment and carries it out. Returns at once if it cannot be claimed.

    Its outcome, also an error, is in its row; only errors of the database are raised.
    """
    deployment = _claim(deployment_id)
    if deployment is None:
        return
    with (
        heartbeat.beating(deployment) as deadline,
        Logbook(deployment.server_id, deployment.pk) as logbook,
    ):
        _attempt(Job(deployment, deployment.server, Timeline(deployment, logbook), deadline))


def _claim(deployment_id: int) -> Deployment | None:
    now = timezone.now()
    try:
        taken = (
            Deployment.objects.claimable()
            .filter(pk=deployment_id)
            .update(
                status=DeploymentStatus.RUNNING,
                worker=workers.me(),
                claims=F("claims") + 1,
                started_at=Coalesce("started_at", now),
                heartbeat_at=now,
            )
        )
    except IntegrityError:  # another deployment of the same server was claimed at the same time
        return None
    if not taken:
        return None
    known = ("server__owner", "server__current_deployment", "build__server", "based_on__build", "run")
    return Deployment.objects.select_related(*known).get(pk=deployment_id)


def _attempt(job: Job) -> None:
    try:
        job.timeline.logbook.redact = job.server.redactor(*pulls.secrets_of(job.server))
        _begin(job)
        _walk(job)
    except Cancelled as error:
        if not heartbeat.interrupted.is_set():
            _end(job, DeploymentStatus.CANCELLED, error)
        elif job.deployment.is_asked_to_stop():  # and no heartbeat has noticed it yet
            _end(job, DeploymentStatus.CANCELLED, Cancelled(ON_REQUEST))
        else:
            _put_back(job)
    except gate.Held as error:
        _end(job, DeploymentStatus.HELD, error)
    except UserError as error:
        _end(job, DeploymentStatus.FAILED, error)
    except Exception:  # noqa: BLE001  (`internal_error` logs it whole)
        _end(job, DeploymentStatus.FAILED, internal_error(logger, f"deployment {job.deployment.pk}"))
    else:
        publishing.move_tag(job.timeline)
    finally:
        shutil.rmtree(job.work, ignore_errors=True)


def _begin(job: Job) -> None:
    deployment = job.deployment
    if deployment.claims > 1:
        job.timeline.say(f"Taken up again (attempt {deployment.claims}): the worker before was lost.")
        if run := deployment.live_run:
            runs.stop(run, "Its worker was lost.", grace=0)
        if deployment.build.runtime:
            runs.stop_strays(deployment)
    if deployment.makes_build:
        deployment.build.keep(runtime=runtime_choice.runtime_name_for(job.server))
    job.timeline.event(
        "deploy_started",
        {
            "number": deployment.number,
            "mode": deployment.mode,
            "trigger": deployment.trigger,
            "runtime": deployment.build.runtime,
        },
    )
    _tell_of_rollback(job, "rollback_started")
    for left in job.work.parent.glob(f"{deployment.pk}-*"):  # of a worker that was lost
        shutil.rmtree(left, ignore_errors=True)
    with build_context.filling(job.work):
        pass


def _walk(job: Job) -> None:
    if job.deployment.makes_build:
        _make(job)
    elif not job.build.can_start:
        raise SourceError("What the earlier deployment built is gone.", hint="Redeploy with mode latest.")
    start = Start(runs.begin(job.deployment), job.timeline, job.deadline)
    handle = starting.start(start)
    facts = starting.check_health(start, handle)
    found = starting.discover(start, handle, facts)
    job.deployment.keep(facts=asdict(facts), discovery=asdict(found))
    gate.check(job.deployment, job.timeline)
    _switch(job, start.run)


def _make(job: Job) -> None:
    """Makes the build, and stores what can be started in its row when all of it exists."""
    deployment, build, timeline, deadline = job.deployment, job.build, job.timeline, job.deadline
    fetched = fetching.fetch(deployment, job.work / "source", timeline, deadline)
    if not job.runtime.needs_image:
        build.keep(command=building.install(deployment, fetched, timeline, deadline))
        return
    if isinstance(fetched, ExistingImage) and job.server.transport == Transport.HTTP:
        command = job.server.command or job.server.source.get("arguments", [])
        build.keep(image=fetched.reference, digest=fetched.digest, command=list(command))
        return
    built = building.images(deployment, fetched, job.work, timeline, deadline)
    if settings.REGISTRY:
        to = pushing.destination_of(timeline)
        pushed = pushing.push_all(to, built, deadline)
        published = publishing.publish(to, pushed, deadline, any_platform=job.runtime.any_platform)
    else:
        published = publishing.in_engine(built)
    build.keep(images=published.images, digest=published.digest, image=published.image)


def _switch(job: Job, run: Run) -> None:
    """Moves the traffic to the new deployment. The reconciler later drains and ends the one before."""
    deployment, now = job.deployment, timezone.now()
    job.deadline.check()
    _write_out(job)
    with transaction.atomic():
        _lock_server(job)
        if not deployment.renew():
            raise Cancelled(heartbeat.TAKEN_OVER)
        moved = Server.objects.filter(desired_state=DesiredState.RUNNING).move(
            deployment.server_id,
            ServerStatus.RUNNING,
            current_deployment=deployment,
            error="",
            error_kind="",
        )
        if not moved:
            raise Cancelled("The server was stopped or deleted meanwhile.")
        Run.objects.filter(pk=run.pk).update(endpoint=runs.handle_of(run).endpoint, ready_at=now)
        Deployment.objects.move(deployment.pk, DeploymentStatus.SUCCEEDED, finished_at=now, heartbeat_at=None)
        _tell_of_rollback(job, "rollback_succeeded", duration_ms=deployment.ms_so_far)
        job.timeline.event(
            "deploy_succeeded", {"number": deployment.number, "duration_ms": deployment.ms_so_far}
        )
        events.status_changed(deployment.server_id)
        notify.recovered(deployment.server_id, deployment)
    job.timeline.say(f"Deployment #{deployment.number} serves now.")


def _end(job: Job, status: DeploymentStatus, error: UserError) -> None:
    """Ends a deployment that did not succeed, and removes what it left.

    The deployment that serves is not changed.
    """
    deployment, redact = job.deployment, job.timeline.logbook.redact
    message = redact(str(error))
    if not deployment.renew():
        _leave_to_successor(job)
        return
    _clean_up(job, message, keep_build=status == DeploymentStatus.HELD)
    _write_out(job)
    with transaction.atomic():
        _lock_server(job)
        if not deployment.renew():
            return
        Deployment.objects.move(
            deployment.pk,
            status,
            finished_at=timezone.now(),
            error=message,
            error_kind=error.kind,
            error_reason=error.reason or "",
            heartbeat_at=None,
        )
        _settle_server(job, status, message, error.kind)
        _tell_of_end(job, status, message, error)
        events.status_changed(deployment.server_id)
    job.timeline.say(message)


def _write_out(job: Job) -> None:
    """Writes the log before the outcome, so that the log is complete for everybody who hears of the outcome.

    If the database does not answer, the outcome does not wait: the log is tried again later.
    """
    with suppress(DatabaseError):
        job.timeline.logbook.flush()


def _tell_of_end(job: Job, status: DeploymentStatus, message: str, error: UserError) -> None:
    if status == DeploymentStatus.HELD:
        job.timeline.event("deploy_held", {**error.details, "duration_ms": job.deployment.ms_so_far})
        return
    outcome = {"error": message, "error_kind": error.kind, "duration_ms": job.deployment.ms_so_far}
    _tell_of_rollback(job, "rollback_failed", **outcome)
    word = "deploy_cancelled" if status == DeploymentStatus.CANCELLED else "deploy_failed"
    job.timeline.event(word, {"number": job.deployment.number, **outcome})


def _tell_of_rollback(job: Job, event_type: str, **details: object) -> None:
    """Records an event of a rollback, if this deployment is one.

    Its other events are those of any deployment.
    """
    base = job.deployment.based_on
    if job.deployment.trigger == Trigger.ROLLBACK:
        about = {"number": job.deployment.number, "to": base.number if base else 0}
        job.timeline.event(event_type, {**about, **details})


def _settle_server(job: Job, status: DeploymentStatus, message: str, kind: str) -> None:
    server = job.server
    if status == DeploymentStatus.FAILED:
        Server.objects.move(server.pk, ServerStatus.ERROR, error=message, error_kind=kind)
        notify.failed(server.pk, message, kind, job.deployment)
        return
    settle_status.settle(server.pk)
    if status == DeploymentStatus.HELD:
        notify.held(server.pk, message, job.deployment)


def _put_back(job: Job) -> None:
    """Puts the deployment back into the queue, because the process ends.

    The next process that starts claims it.
    """
    if not job.deployment.renew():
        _leave_to_successor(job)
        return
    _clean_up(job, "The platform stopped.")
    closing.put_back(job.deployment)
    events.status_changed(job.server.pk)
    job.timeline.say("Interrupted: the platform is stopping; the deployment goes on when it is back.")


def _lock_server(job: Job) -> None:
    """Locks the server's row.

    Everywhere it is locked before a deployment's row; another order may deadlock.
    """
    Server.objects.locked().get(pk=job.server.pk)


def _leave_to_successor(job: Job) -> None:
    """Ends only the run that this worker started, because another worker holds the deployment now."""
    logger.warning("deployment %s was taken over by another worker", job.deployment.pk)
    try:
        if run := job.deployment.live_run:
            runs.end_without_a_word(run)
    except UserError as error:
        logger.warning("deployment %s left something behind: %s", job.deployment.pk, error)


def _clean_up(job: Job, why: str, *, keep_build: bool = False) -> None:
    try:
        if run := job.deployment.live_run:
            runs.stop(run, why)
        if not keep_build:
            building.discard(job.deployment)
    except UserError as error:
        logger.warning("deployment %s left something behind: %s", job.deployment.pk, error)
