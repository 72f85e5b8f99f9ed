"""The queue of deployments. Each server has one place; a new request supersedes the one that waits there."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from hosting.errors import Conflict
from servers import closing, events
from servers.models import Build, Deployment, Server
from servers.models.server import DesiredState
from servers.push_options import NO_OPTIONS, PushOptions
from servers.states import DeploymentStatus, Mode, ServerStatus, Trigger


@transaction.atomic
def add(
    *,
    server: Server,
    requested_by: User | None,
    trigger: Trigger,
    mode: Mode,
    based_on: Deployment | None = None,
    options: PushOptions = NO_OPTIONS,
    revision: str = "",
) -> Deployment:
    """Adds a deployment and returns it; the arguments are those of `services.deploy`.

    Sends no message; the caller does. Raises `Conflict` if the server is being deleted or nothing can be
    started or resumed, and `Invalid` if the options do not fit the mode.
    """
    locked = Server.objects.locked().get(pk=server.pk)
    if locked.desired_state == DesiredState.DELETED:
        raise Conflict(f"{locked.name} is being deleted.")
    base = _base(locked, mode, based_on)
    options.check(mode, base.build.platforms if base else [])
    _supersede(locked, mode)
    number = (locked.deployments.aggregate(last=Max("number"))["last"] or 0) + 1
    deployment = Deployment.objects.create(
        server=locked,
        number=number,
        trigger=trigger,
        requested_by=requested_by,
        mode=mode,
        based_on=base,
        build=_build(locked, number, mode, base, options),
        **options.columns,
        wanted_revision=revision,
    )
    if not locked.deployments.filter(status=DeploymentStatus.RUNNING).exists():
        Server.objects.move(locked.pk, ServerStatus.PENDING)
    events.status_changed(locked.pk)
    return deployment


def _supersede(server: Server, mode: Mode) -> None:
    """Ends the queued deployment, and the held one if the new deployment makes a build."""
    closing.end_queued(server, DeploymentStatus.SUPERSEDED, told=closing.GAVE_WAY)
    if mode != Mode.SAME_DIGEST:
        held = server.deployments.filter(status=DeploymentStatus.HELD)
        held.update(status=DeploymentStatus.SUPERSEDED, finished_at=timezone.now())


def _base(server: Server, mode: Mode, based_on: Deployment | None) -> Deployment | None:
    if mode == Mode.RESUME:
        return _failed(server, based_on)
    base = based_on or server.current_deployment
    if mode == Mode.SAME_DIGEST and not (base and base.build.can_start):
        raise Conflict(
            f"{server.name} has no built deployment to start again.", hint="Redeploy it with mode latest."
        )
    return base


def _build(server: Server, number: int, mode: Mode, base: Deployment | None, options: PushOptions) -> Build:
    """Returns the build of `base` if it can be started as it is, else a new build."""
    resumed = base.build if base and mode == Mode.RESUME else None
    if base and mode == Mode.SAME_DIGEST:
        return base.build
    if resumed and resumed.can_start and not options.platform_anew:
        return resumed
    return Build.objects.create(server=server, number=number, resumes=resumed)


def _failed(server: Server, given: Deployment | None) -> Deployment:
    """Returns the deployment that `resume` continues: `given`, or the newest that was not superseded.

    Raises `Conflict` if it did not fail, or failed before its revision was known.
    """
    base = given or server.deployments.exclude(status=DeploymentStatus.SUPERSEDED).order_by("-number").first()
    resumable = (DeploymentStatus.FAILED, DeploymentStatus.CANCELLED)
    if base is None or base.status not in resumable or not base.build.revision:
        raise Conflict(
            f"{server.name} has no failed deployment to resume.", hint="Redeploy it with mode latest."
        )
    return base
