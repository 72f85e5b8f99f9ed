"""Compares rows with what really runs: closes lost work, starts what should run, and ends what should not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from hosting.errors import RuntimeFault, UserError
from hosting.runtimes.base import RunStatus, Runtime, Stray
from registry.reasons import Reason
from servers import closing, events, notify, runtime_choice, timeline
from servers.deploying import drain, restarts, retention, runs, runtimes, workers
from servers.models import Deployment, FormerServer, Run, Server
from servers.models.kept import Leased
from servers.models.server import DesiredState
from servers.states import OPEN, RESTARTABLE, DeploymentStatus, ServerStatus

logger = logging.getLogger(__name__)
RESEND_AFTER = timedelta(seconds=10)
MOST_CLAIMS = 3


@dataclass
class Due:
    """What a pass leaves to others.

    The ids are those for which a message has to be sent, because the work takes longer than a pass may.
    `running` are the runs that are up, to be watched. `under_way` tells whether something goes on that has an
    end, so that the next pass should come soon.
    """

    deployments: list[int] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)
    servers: list[int] = field(default_factory=list)
    running: list[Run] = field(default_factory=list)
    under_way: bool = False


def look() -> Due:
    """Makes one pass over the rows.

    It is quick: it polls, closes lost work and requests restarts. It returns the slow work, for workers.
    """
    # These queries mostly find nothing, so what belongs to a row is read only when there is one.
    at_work = _close_lost() + _close_lost_restarts()
    running = _watch_all()
    down = list(restarts.awaited(Server.objects.down()))
    for server in filter(restarts.is_due, down):
        _start_again(server)
    leaving, unwanted = _leaving(), _unwanted_runs()
    queued, waiting = _sent(Deployment.objects.claimable()), _sent(Run.objects.waiting())
    return Due(
        deployments=_to_send(Deployment, queued),
        restarts=_to_send(Run, waiting),
        servers=sorted({*leaving, *(each.server_id for each in unwanted if _is_over(each))}),
        running=running,
        # A worker without a slot asks for another message, of which no event tells.
        under_way=bool(at_work or down or leaving or unwanted or queued or waiting),
    )


def measure() -> None:
    """Stores how much the servers use. A runtime may take some time to answer."""
    runs.measure(run for _, run in _watched())


def _close_lost() -> int:
    """Returns how many deployments are at work, lost or not."""
    at_work = list(Deployment.objects.at_work())
    for deployment in filter(_is_lost, at_work):
        logger.warning("deployment %s lost its worker %s", deployment, deployment.worker)
        if deployment.claims < MOST_CLAIMS:
            closing.put_back(deployment)
            events.status_changed(deployment.server_id)
        else:
            _give_up(deployment)
    return len(at_work)


def _is_lost(work: Leased) -> bool:
    return work.is_lost(timedelta(seconds=settings.ABANDONED_AFTER_SECONDS), workers.is_gone)


def _give_up(deployment: Deployment) -> None:
    message = (
        f"The worker was lost {deployment.claims} times in a row. See the platform's log, then redeploy."
    )
    closed = Deployment.objects.move(
        deployment.pk,
        DeploymentStatus.FAILED,
        finished_at=timezone.now(),
        error=message,
        error_kind="internal",
        error_reason=Reason.WORKER_LOST,
    )
    if closed:
        deployment.steps.close_lost()
        _show_trouble(deployment.server_id, ServerStatus.ERROR, message, "internal", deployment)
        failure = {
            "number": deployment.number,
            "error": message,
            "error_kind": "internal",
            "duration_ms": _ms_since(deployment.started_at or deployment.created_at),
        }
        timeline.record(deployment.server_id, deployment.pk, "deploy_failed", failure)


def _close_lost_restarts() -> int:
    """Returns how many restarts are at work, lost or not."""
    at_work = list(Run.objects.at_work())
    for run in filter(_is_lost, at_work):
        logger.warning("the restart of %s lost its worker %s", run.deployment, run.worker)
        try:
            ended = runs.stop(run, "Its worker was lost.", grace=0, reason=Reason.WORKER_LOST)
        except UserError as error:
            logger.warning("%s is still there: %s", run, error)
            continue
        run.steps.close_lost()
        if ended and restarts.is_wanted(run.deployment):
            _note_failure(run.deployment.server, "The worker that started it again was lost.")
    return len(at_work)


def _show_trouble(
    server_id: int, to: ServerStatus, why: str, kind: str = "runtime", deployment: Deployment | None = None
) -> None:
    """Sets status and error, and tells channels.

    Without `deployment` the trouble is a run's. It is shown only where a restart may show, because a
    deployment may go on at the same time.
    """
    servers = Server.objects.all() if deployment else Server.objects.filter(status__in=RESTARTABLE)
    with transaction.atomic():
        if servers.move(server_id, to, error=why, error_kind=kind):
            notify.failed(server_id, why, kind, deployment)
        events.status_changed(server_id)


def _watch_all() -> list[Run]:
    """Returns the runs that are up."""
    watched = _watched()
    seen = runs.survey(run for _, run in watched)
    for server, run in watched:
        _watch(server, run, seen[run.pk])
    return [run for _, run in watched if run.is_live]


def _watched() -> list[tuple[Server, Run]]:
    servers = Server.objects.watched()
    return [(server, run) for server in servers if (run := _run_of(server))]


def _run_of(server: Server) -> Run | None:
    return server.current_deployment.run if server.current_deployment else None


def _watch(server: Server, run: Run, status: RunStatus | RuntimeFault) -> None:
    try:
        if isinstance(status, RuntimeFault):
            raise status
        if not status.alive:
            _note_exit(server, run, status)
            return
    except UserError as error:  # the other servers are still watched
        _degrade(server, str(error))
        return
    runs.note_endpoints(run, status)
    if server.status == ServerStatus.DEGRADED and run.endpoint:
        with transaction.atomic():
            Server.objects.move(server.pk, ServerStatus.RUNNING, error="", error_kind="")
            notify.recovered(server.pk)
            events.status_changed(server.pk)
    else:
        restarts.forget_failures(server, run)


def _note_exit(server: Server, run: Run, status: RunStatus) -> None:
    why = status.reason or "The server is gone."
    if runs.stop(
        run, why, grace=0, reason=status.cause or ""
    ):  # else another process stopped it at the same time
        _note_failure(server, why, run)


def _note_failure(server: Server, why: str, run: Run | None = None) -> None:
    restarts.schedule(server)
    if given_up := restarts.gave_up(server):
        last = f"It wrote last: “{' ⏎ '.join(runs.last_lines(run, 3))}”. " if run else ""
        _show_trouble(server.pk, ServerStatus.ERROR, f"{why} {last}{given_up}")
    else:
        _degrade(server, f"{why} It is being restarted.")


def _degrade(server: Server, why: str) -> None:
    if server.status == ServerStatus.DEGRADED and server.error == why:
        return
    _show_trouble(server.pk, ServerStatus.DEGRADED, why)


def _start_again(server: Server) -> None:
    if server.current_deployment and server.current_deployment.build.can_start:
        restarts.request(server)
        return
    message = f"{server.name} went down, and what it was started from is gone. Redeploy it with mode latest."
    _show_trouble(server.pk, ServerStatus.ERROR, message)
    Server.objects.filter(pk=server.pk).update(restarts=restarts.MOST_IN_A_ROW)


def _sent(rows: Any) -> dict[int, datetime | None]:
    """Returns when the last message about each of the rows was sent, by its id."""
    return dict(rows.order_by("pk").values_list("pk", "enqueued_at"))


def _to_send(model: type[Deployment] | type[Run], sent: Mapping[int, datetime | None]) -> list[int]:
    """Returns the ids of which no message was sent lately, and notes that one is sent now."""
    now = timezone.now()
    due = [pk for pk, at in sent.items() if not at or at < now - RESEND_AFTER]
    model.objects.filter(pk__in=due).update(enqueued_at=now)
    return due


def _unwanted_runs() -> list[Deployment]:
    """Returns the deployments whose runs have to end, now or when their last calls have ended."""
    return list(Deployment.objects.leftover().exclude(status__in=OPEN))


def _leaving() -> list[int]:
    """Returns the ids of servers that are being stopped or deleted."""
    moving = Server.objects.should_not_run().filter(status__in=[ServerStatus.STOPPING, ServerStatus.DELETING])
    return list(moving.values_list("pk", flat=True))


def _is_over(deployment: Deployment) -> bool:
    """Tells whether nothing should run for the deployment any more; DRAIN_SECONDS after it was replaced."""
    server = deployment.server
    if server.desired_state != DesiredState.RUNNING:
        return True
    current = server.current_deployment
    if current is None or current.pk == deployment.pk:
        return current is None
    drained = timedelta(seconds=settings.DRAIN_SECONDS)
    return not current.finished_at or timezone.now() - current.finished_at >= drained


def settle(server_id: int) -> None:
    """Ends the runs of a server that are over, then stops or deletes the server if that is wanted."""
    server = Server.objects.with_current().filter(pk=server_id).first()
    if server is None:
        return
    for deployment in server.deployments.with_run().exclude(status__in=OPEN).select_related("run"):
        if _is_over(deployment):
            _end(server, deployment)
    retention.forget_old_builds(server)
    if (
        server.desired_state != DesiredState.RUNNING
        and not server.deployments.filter(status__in=OPEN).exists()
    ):
        _arrive(server)


def _end(server: Server, deployment: Deployment) -> None:
    """Retires the run, and ends it when its last calls have ended.

    It is called again in each pass until that is done. A failure is recorded only once.
    """
    about, began, run = {"number": deployment.number}, timezone.now(), deployment.run
    if run is None:
        return
    with transaction.atomic():  # so that `stop_started` is recorded before another process records the end
        first = runs.retire(run)
        if first:
            timeline.record(server.pk, deployment.pk, "stop_started", about)
    if drain.is_awaited(server, deployment):
        return
    try:
        ended = runs.stop(run, _why(server, deployment))
    except UserError as error:
        _show_what_holds_up(server, error)
        if first:
            failure = {"error": str(error), "error_kind": error.kind, "duration_ms": _ms_since(began)}
            timeline.record(server.pk, deployment.pk, "stop_failed", {**about, **failure})
        return
    if ended and run.ready_at:  # a run that never served has no `stop_started` either
        took = {"duration_ms": _ms_since(began)}
        timeline.record(server.pk, deployment.pk, "stop_succeeded", {**about, **took})


def _why(server: Server, deployment: Deployment) -> str:
    current = server.current_deployment
    if server.desired_state == DesiredState.RUNNING and current and current.pk != deployment.pk:
        return f"#{current.number} took its place."
    return "The server was deleted." if server.desired_state == DesiredState.DELETED else "It was stopped."


def _show_what_holds_up(server: Server, error: UserError) -> None:
    """Shows at the server why it cannot be stopped or deleted yet."""
    waiting = Server.objects.filter(
        pk=server.pk, status__in=[ServerStatus.STOPPING, ServerStatus.DELETING]
    ).exclude(error=str(error))
    if waiting.update(error=str(error), error_kind=error.kind):
        events.status_changed(server.pk)


def _ms_since(began: datetime) -> int:
    return int((timezone.now() - began).total_seconds() * 1000)


def _arrive(server: Server) -> None:
    if server.deployments.with_run().exists():
        return
    if server.desired_state == DesiredState.STOPPED:
        Server.objects.move(server.pk, ServerStatus.STOPPED, error="", error_kind="")
        events.status_changed(server.pk)
    else:
        try:
            retention.remove_everything_of(server)
        except UserError as error:
            _show_what_holds_up(server, error)
            return
        with transaction.atomic():
            events.status_changed(server.pk)
            FormerServer.remember(server)
            server.delete()


def sweep() -> None:
    """Ends runs that no row knows, and removes what lost workers left.

    A worker may be lost after it started a run, before it stored the handle.
    """
    for name in runtime_choice.runtimes_in_use():
        try:
            _sweep(runtimes.runtime(name))
        except UserError as error:
            logger.warning("strays on %s were not looked for: %s", name, error)
    retention.clear_up_after_lost_workers()


def _sweep(runtime: Runtime) -> None:
    for stray in runtime.strays():
        if not _is_known(stray):
            logger.warning("ending a stray run of deployment %s on %s", stray.deployment_id, runtime.name)
            runtime.stop(stray.handle, grace=0)


def _is_known(stray: Stray) -> bool:
    """Tells whether a live row has this run.

    A run of an earlier version has no id; its deployment is looked up.
    """
    live = Run.objects.live().filter(deployment=stray.deployment_id)
    return live.filter(pk=stray.run_id).exists() if stray.run_id else live.exists()


def suspend() -> None:
    """Ends the runs that do not outlive the platform, because it stops.

    They start again with the platform.
    """
    for run in Run.objects.live().select_related("deployment__server"):
        if not runs.runtime_of(run).outlives_platform:
            _suspend(run)


def _suspend(run: Run) -> None:
    try:
        runs.stop(run, "The platform stopped.")
    except UserError as error:
        logger.warning("%s could not be ended: %s", run, error)


def trim() -> None:
    """Deletes what is older than its retention; see `retention.trim`."""
    retention.trim()
