"""Starts a server again that went down: at first soon, then after growing pauses, and at last not any more.

A restart is another run of the build that serves. It has no deployment of its own, because nobody asked for
one, and nothing is fetched, built or pushed.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from hosting import tool_changes
from hosting.errors import Cancelled, UserError
from hosting.handshake import Discovery, ServerFacts
from servers import events, notify
from servers.deploying import gate, heartbeat, pulls, runs, starting, workers
from servers.deploying.starting import Start
from servers.logbook import Logbook
from servers.models import Deployment, Run, Server, ServerQuerySet
from servers.models.server import DesiredState
from servers.states import OPEN, RESTARTABLE, ServerStatus
from servers.timeline import Timeline, internal_error

logger = logging.getLogger(__name__)
MOST_IN_A_ROW = 8
LONGEST_SECONDS = 300
STEADY = timedelta(seconds=60)
NOT_WANTED = "The server was stopped, deleted or deployed anew meanwhile."


def schedule(server: Server) -> None:
    """Counts one more failure, and sets the time of the next start: after 1, 2, 4 … 300 s."""
    wait = min(2**server.restarts, LONGEST_SECONDS)
    server.restarts, server.restart_at = server.restarts + 1, timezone.now() + timedelta(seconds=wait)
    Server.objects.filter(pk=server.pk).update(restarts=server.restarts, restart_at=server.restart_at)


def forget_failures(server: Server, run: Run) -> None:
    """Sets the count back to 0 if the run has been up for STEADY."""
    if server.restarts and run.ready_at and timezone.now() - run.ready_at > STEADY:
        Server.objects.filter(pk=server.pk).update(restarts=0, restart_at=None)


def awaited(servers: ServerQuerySet) -> ServerQuerySet:
    """Selects the servers that are to be started again, and which no deployment is about to start."""
    deployments = Deployment.objects.open().filter(server=OuterRef("pk"))
    return servers.filter(~Exists(deployments), restarts__lt=MOST_IN_A_ROW)


def is_due(server: Server) -> bool:
    """Tells whether the pause before the server's next start is over."""
    return server.restart_at is None or server.restart_at <= timezone.now()


def gave_up(server: Server) -> str:
    """Returns a sentence if the server is not restarted any more; "" while it is."""
    if server.restarts < MOST_IN_A_ROW:
        return ""
    tried = f"It was restarted {server.restarts} times in a row, and is left alone now."
    return f"{tried} Correct the cause; then start or redeploy it."


@transaction.atomic
def request(server: Server) -> None:
    """Writes the run that a worker is to start. The caller sends the message.

    Does nothing if the server should not run, if it runs, or if a deployment is open, which starts it itself.
    """
    locked = Server.objects.locked().get(pk=server.pk)
    current = locked.current_deployment
    if locked.desired_state != DesiredState.RUNNING or current is None or current.live_run:
        return
    if not locked.deployments.filter(status__in=OPEN).exists():
        runs.begin(current)
        # With this status the gateway lets calls wait for the restart, also before a worker claims it.
        Server.objects.filter(status=ServerStatus.RUNNING).move(server.pk, ServerStatus.STARTING)
        events.status_changed(server.pk)


def restart(run_id: int) -> None:
    """Claims the restart and carries it out. Returns at once if another worker has claimed it."""
    if not Run.objects.claim(run_id, workers.me()):
        return
    known = ("deployment__server__current_deployment", "deployment__build__server")
    run = Run.objects.select_related(*known).get(pk=run_id)
    deployment = run.deployment
    with heartbeat.beating(run) as deadline, Logbook(deployment.server_id, deployment.pk) as logbook:
        _attempt(Start(run, Timeline(deployment, logbook, run), deadline))


def _attempt(start: Start) -> None:
    try:
        start.timeline.logbook.redact = start.server.redactor(*pulls.secrets_of(start.server))
        _begin(start)
        handle = starting.start(start)
        facts = starting.check_health(start, handle)
        _serve(start, facts, starting.discover(start, handle, facts))
    except Cancelled as error:
        _withdraw(start, "The platform stopped." if heartbeat.interrupted.is_set() else error.message)
    except UserError as error:
        _fail(start, error)
    except Exception:  # noqa: BLE001  (`internal_error` logs it whole)
        _fail(start, internal_error(logger, f"restart {start.run.pk}"))


def _begin(start: Start) -> None:
    if not is_wanted(start.deployment):
        raise Cancelled(NOT_WANTED)
    before = start.deployment.runs.exclude(pk=start.run.pk).first()
    start.timeline.say(f"#{start.deployment.number} is started again.")
    if before and before.handle is None:
        runs.stop_strays(start.deployment)


def _serve(start: Start, facts: ServerFacts, found: Discovery) -> None:
    """Lets calls go to the new run. Raises `Cancelled` if it is not wanted any more."""
    deployment, run, now = start.deployment, start.run, timezone.now()
    start.deadline.check()
    with transaction.atomic():
        server = Server.objects.locked().get(pk=deployment.server_id)
        if not is_wanted(deployment):
            raise Cancelled(NOT_WANTED)
        serves = {"endpoint": runs.handle_of(run).endpoint, "ready_at": now}
        if not run.held().update(**serves, worker="", heartbeat_at=None):
            raise Cancelled(heartbeat.TAKEN_OVER)
        _tell_of_tools(start, found)
        deployment.keep(facts=asdict(facts), discovery=asdict(found))
        Server.objects.filter(status__in=RESTARTABLE).move(server.pk, ServerStatus.RUNNING)
        Server.objects.filter(pk=server.pk).update(error="", error_kind="")
        start.timeline.event("server_restarted", _about(start))
        events.status_changed(server.pk)
        notify.recovered(server.pk)
    start.timeline.say(f"#{deployment.number} serves again.")


def _tell_of_tools(start: Start, found: Discovery) -> None:
    """Writes into the log how the tools have changed.

    The schema gate does not stop a restart (see `gate`).
    """
    before = start.deployment.discovery.get("tools") or []
    if breaking := tool_changes.compare(before, list(found.tools)).breaking:
        start.timeline.say(f"Its tools are not what callers know: {gate.sentences(breaking)}")


def _withdraw(start: Start, why: str) -> None:
    """Ends the restart for a reason that is not the server's fault, so it is not counted as a failure."""
    if _end(start, why):
        start.timeline.say(why)


def _fail(start: Start, error: UserError) -> None:
    message = start.timeline.logbook.redact(str(error))
    if not _end(start, message, error.reason or ""):
        return
    with transaction.atomic():
        server = Server.objects.locked().get(pk=start.deployment.server_id)
        failure = {**_about(start), "error": message, "error_kind": error.kind}
        start.timeline.event("server_restart_failed", failure)
        if is_wanted(start.deployment):
            schedule(server)
            told = f"{message} {gave_up(server)}".strip()
            moving = Server.objects.filter(status__in=RESTARTABLE)
            if moving.move(server.pk, ServerStatus.ERROR, error=told, error_kind=error.kind):
                notify.failed(server.pk, told, error.kind)
        events.status_changed(server.pk)
    start.timeline.say(message)


def _about(start: Start) -> dict[str, int]:
    took = int((timezone.now() - start.run.began_at).total_seconds() * 1000)
    return {"number": start.deployment.number, "duration_ms": took}


def _end(start: Start, why: str, reason: str = "") -> bool:
    """Ends the run. False if it was ended by a stop, or by whoever took this worker for lost."""
    if not start.run.renew():
        return False
    try:
        return runs.stop(start.run, why, reason=reason)
    except UserError as error:
        logger.warning("%s left something behind: %s", start.run, error)
        return True


def is_wanted(deployment: Deployment) -> bool:
    """Tells whether the deployment is what its server should run."""
    running = Server.objects.filter(desired_state=DesiredState.RUNNING)
    return running.filter(pk=deployment.server_id, current_deployment=deployment).exists()
