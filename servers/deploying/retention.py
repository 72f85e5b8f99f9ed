"""What is kept for how long, and the end of what is not: old rows, directories, images."""

from __future__ import annotations

import logging
import shutil
from datetime import timedelta
from itertools import islice

from django.apps import apps
from django.conf import settings
from django.utils import timezone

from access.models import AuditEntry
from hosting.errors import UserError
from metrics import rollups
from metrics.models import UsageMetric
from notices import outbox
from servers import uploads
from servers.deploying import delivery, image_steps, wiring
from servers.models import CallsInFlight, Deployment, LogLine, Server
from servers.states import OPEN, DeploymentStatus, Mode
from servers.streams import storage

logger = logging.getLogger(__name__)

# What these built is there to be started.
KEPT = (DeploymentStatus.SUCCEEDED, DeploymentStatus.HELD)


def trim() -> None:
    """Deletes what is older than its retention, and what more deployments than KEEP_DEPLOYMENTS left."""
    now = timezone.now()
    UsageMetric.objects.older_than(now - timedelta(days=settings.METRICS_RETENTION_DAYS)).delete()
    rollups.trim(now, now - timedelta(days=settings.ROLLUP_RETENTION_DAYS))
    LogLine.objects.filter(at__lt=now - timedelta(days=settings.LOG_RETENTION_DAYS)).delete()
    AuditEntry.objects.filter(at__lt=now - timedelta(days=settings.AUDIT_RETENTION_DAYS)).delete()
    outbox.trim(now - timedelta(days=settings.LOG_RETENTION_DAYS))
    deliveries = apps.get_model("hooks", "Delivery").objects  # webhooks stand above this package
    deliveries.filter(received_at__lt=now - timedelta(days=settings.LOG_RETENTION_DAYS)).delete()
    CallsInFlight.objects.filter(at__lt=now - timedelta(days=1)).delete()  # of gateways that died
    storage.trim(now - timedelta(hours=settings.STREAM_RETENTION_HOURS))
    uploads.forget_abandoned()
    for server in Server.objects.all():
        forget_old_builds(server)


def clear_up_after_lost_workers() -> None:
    """Scratch space, and environments of deployments that were given up, which nobody was left to remove.

    Images of theirs stay until the next deployment, as those of any that failed: see `forget_old_builds`.
    """
    for scratch in wiring.scratch_directory().glob("[0-9]*-[0-9]*"):
        pk, _, claims = scratch.name.partition("-")
        if not Deployment.objects.open().filter(pk=pk, claims=claims).exists():
            shutil.rmtree(scratch, ignore_errors=True)
    over = Deployment.objects.exclude(status__in=[*OPEN, *KEPT])
    for deployment in over.filter(run__isnull=True).exclude(mode=Mode.SAME_DIGEST).exclude(directory=""):
        if not _shared(deployment, []):
            _remove_build(deployment)


def forget_old_builds(server: Server) -> None:
    """The newest KEEP_DEPLOYMENTS builds that went well stay beside the current one: one can roll back there.
    Builds are counted, not deployments: one that is restarted over and over has many.

    What a failed deployment built stays until a newer one has been tried: it can be resumed; and as long as
    what resumed it stays. Nothing goes while a deployment is open: an old tag may name what it pushes.
    """
    if server.deployments.filter(status__in=OPEN).exists():
        return
    over = (
        server.deployments.filter(run__isnull=True)
        .exclude(status__in=[*OPEN, DeploymentStatus.HELD])
        .order_by("-number")
    )
    done = list(over.filter(status=DeploymentStatus.SUCCEEDED))
    newest = server.deployments.order_by("-number").values_list("pk", flat=True).first() or 0
    failed = over.exclude(status=DeploymentStatus.SUCCEEDED).exclude(pk=newest)
    needed = {server.current_deployment_id, *_bases_of_open(server)}  # one may be asked for meanwhile
    keep = _newest_builds(done, server.current_deployment)
    needed |= _taken_over(server, {newest, *(d.pk for d in done if d.build in keep)})
    outdated = [d for d in done if d.build not in keep]
    old = [d for d in [*outdated, *failed] if d.can_start_again or d.platforms]
    going = [d for d in old if d.pk not in needed]
    leaving = [d for d in going if not _shared(d, going)]
    if _remove_tags(server, leaving):
        _remove_builds(leaving)
    kept = server.deployments.exclude(pk__in=[d.pk for d in going])
    uploads.keep_only(server, set(kept.values_list("revision", flat=True)))


def _newest_builds(done: list[Deployment], current: Deployment | None) -> set[str]:
    now = current.build if current else ""
    others = dict.fromkeys(d.build for d in done if d.build not in ("", now))
    return {now, *islice(others, settings.KEEP_DEPLOYMENTS)} - {""}


def _bases_of_open(server: Server) -> set[int | None]:
    return set(server.deployments.filter(status__in=OPEN).values_list("based_on_id", flat=True))


def _taken_over(server: Server, kept: set[int]) -> set[int]:
    """The deployments from which these, or those in between, took over what was built."""
    resumed = server.deployments.filter(mode=Mode.RESUME, based_on__isnull=False)
    base = dict(resumed.values_list("pk", "based_on_id"))
    found: set[int] = set()
    while kept := {base[pk] for pk in kept if pk in base} - found:
        found |= kept
    return found


def _remove_builds(deployments: list[Deployment]) -> None:
    for deployment in deployments:
        try:
            _remove_build(deployment)
        except UserError as error:
            logger.warning("what %s built is still there: %s", deployment, error)


def _remove_tags(server: Server, deployments: list[Deployment]) -> bool:
    """False where it is to be tried again: the rows must go on knowing of their tags until then."""
    try:
        delivery.forget(server, deployments)
    except UserError as error:
        logger.warning("old tags of %s stay at the registry: %s", server.slug, error)
        return error.permanent
    return True


def _shared(deployment: Deployment, going: list[Deployment]) -> bool:
    """A deployment that does not go itself starts from the same directory or image."""
    leaving = [deployment.pk, *(other.pk for other in going)]
    same = Deployment.objects.filter(server_id=deployment.server_id).exclude(pk__in=leaving)
    if deployment.directory:
        return same.filter(directory=deployment.directory).exists()
    return bool(deployment.image) and same.filter(image=deployment.image).exists()


def _remove_build(deployment: Deployment) -> None:
    """Raises `UserError` while the engine is away: the row keeps what is needed to try again."""
    if deployment.directory:
        shutil.rmtree(deployment.directory, ignore_errors=True)
    else:
        image_steps.remove_local_images(deployment)
    Deployment.objects.filter(pk=deployment.pk).update(directory="", image="", platforms=[])


def remove_everything_of(server: Server) -> None:
    """The server is deleted: its volume, directories, uploads, images and tags go before its row does.

    Raises `UserError` while its volume cannot be removed: without the row nobody would look for it.
    """
    for name in set(server.deployments.exclude(runtime="").values_list("runtime", flat=True)):
        wiring.runtime(name).forget(server.pk)
    built = [d for d in server.deployments.exclude(status__in=OPEN) if d.platforms]
    _remove_tags(server, built)
    _remove_builds(built)
    shutil.rmtree(wiring.runs_directory() / str(server.pk), ignore_errors=True)
    uploads.remove(server.pk)
