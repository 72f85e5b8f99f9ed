"""What is kept for how long, and the end of what is not: old rows, directories, images."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice

from django.apps import apps
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from access.models import AuditEntry
from hosting.errors import UserError
from metrics import rollups
from metrics.models import UsageMetric
from notices import outbox
from registry import prune
from servers import image_names, runtime_choice, uploads
from servers.deploying import push_report, registries, runtimes
from servers.models import Build, CallsInFlight, Deployment, LogLine, Run, Server
from servers.models.build import NOTHING_MADE
from servers.models.deployment import LIVE
from servers.states import OPEN, DeploymentStatus
from servers.streams import storage

logger = logging.getLogger(__name__)

# What these started is there to be started again.
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
    _forget_old_runs(now - timedelta(days=settings.LOG_RETENTION_DAYS))
    storage.trim(now - timedelta(hours=settings.STREAM_RETENTION_HOURS))
    uploads.forget_abandoned()
    for server in Server.objects.all():
        forget_old_builds(server)


def _forget_old_runs(before: datetime) -> None:
    """But for the last of each deployment."""
    last = Deployment.objects.filter(run__isnull=False).values("run")
    Run.objects.filter(ended_at__lt=before).exclude(pk__in=last).delete()


def clear_up_after_lost_workers() -> None:
    """Scratch space, and environments of deployments that were given up, which nobody was left to remove.

    Images of theirs stay until the next deployment, as those of any that failed: see `forget_old_builds`.
    """
    for scratch in runtimes.scratch_directory().glob("[0-9]*-[0-9]*"):
        pk, _, claims = scratch.name.partition("-")
        if not Deployment.objects.open().filter(pk=pk, claims=claims).exists():
            shutil.rmtree(scratch, ignore_errors=True)
    wanted = Deployment.objects.filter(Q(status__in=[*OPEN, *KEPT]) | LIVE)
    for build in Build.objects.exclude(directory="").exclude(pk__in=wanted.values("build")):
        _remove(build)


def forget_old_builds(server: Server) -> None:
    """The newest KEEP_DEPLOYMENTS builds that went well stay beside the current one: one can roll back there.

    What a failed deployment built stays until a newer one has been tried: it can be resumed; and as long as
    what resumed it stays. Nothing goes while a deployment is open: an old tag may name what it pushes.
    """
    if server.deployments.filter(status__in=OPEN).exists():
        return
    keep = _with_what_they_resume(server, _wanted(server))
    there = server.builds.exclude(NOTHING_MADE, platforms=[]).select_related("server")
    going = list(there.exclude(pk__in=keep))
    if _remove_tags(server, going):
        _remove_all(going)
    kept = server.builds.exclude(pk__in=[build.pk for build in going])
    uploads.keep_only(server, set(kept.values_list("revision", flat=True)))


def _wanted(server: Server) -> set[int]:
    """Builds that run, serve, wait for a person, may be resumed, or may be rolled back to."""
    deployments = server.deployments.order_by("-number")
    newest = deployments.values_list("build", flat=True)
    now = server.current_deployment.build_id if server.current_deployment else None
    good = deployments.good().exclude(build=now).values_list("build", flat=True)
    in_use = deployments.filter(LIVE | Q(status=DeploymentStatus.HELD))
    return {
        *newest[:1],
        *in_use.values_list("build", flat=True),
        *islice(dict.fromkeys(good), settings.KEEP_DEPLOYMENTS),
        *([now] if now else []),
    }


def _with_what_they_resume(server: Server, kept: set[int]) -> set[int]:
    """And the builds from which these, or those in between, took over images."""
    resumed = server.builds.filter(resumes__isnull=False).only("resumes")
    before = {build.pk: build.resumes_id for build in resumed}
    found, more = set(kept), set(kept)
    while more := {at for pk in more if (at := before.get(pk))} - found:
        found |= more
    return found


def _remove_all(builds: Sequence[Build]) -> None:
    for build in builds:
        try:
            _remove(build)
        except UserError as error:
            logger.warning("what %s made is still there: %s", build, error)


def _remove_tags(server: Server, builds: Sequence[Build]) -> bool:
    """False where it is to be tried again: the rows must go on knowing of their tags until then."""
    try:
        _forget(server, builds)
    except UserError as error:
        logger.warning("old tags of %s stay at the registry: %s", server.slug, error)
        return error.permanent
    return True


def _forget(server: Server, builds: Sequence[Build]) -> None:
    """Removes the tags of these builds where the registry allows it; what the others pushed stays."""
    tags = [tag for build in builds for tag in image_names.tags_of(build)]
    if not tags:
        return
    kept = server.builds.startable().exclude(pk__in=[build.pk for build in builds])
    with registries.faults(f"Pruning {tags[0].endpoint}", tags[0]):
        prune.prune(
            client=registries.client(tags[0].host),
            repository=tags[0],
            tags=[tag.tag for tag in tags],
            keep={digest for build in kept for digest in _digests_of(build)},
            line=push_report.note,
        )


def _digests_of(build: Build) -> set[str]:
    return {build.digest, *(image.get("digest", "") for image in build.images.values())} - {""}


def _remove(build: Build) -> None:
    """Raises `UserError` while the engine is away: the row keeps what is needed to try again."""
    if build.directory:
        shutil.rmtree(build.directory, ignore_errors=True)
    else:
        _remove_local_images(build)
    build.keep(directory="", image="", platforms=[])


def _remove_local_images(build: Build) -> None:
    """Takes our tags off the engine; layers that nothing else uses go with them."""
    local = [image_names.local_tag(build, platform) for platform in build.platforms]
    ours = [tag for plain in local for tag in (image_names.bridged(plain), plain)]
    for tag in [*ours, *map(str, image_names.tags_of(build))]:
        runtime_choice.builder().remove(tag)


def remove_everything_of(server: Server) -> None:
    """The server is deleted: its volume, directories, uploads, images and tags go before its row does.

    Raises `UserError` while its volume cannot be removed: without the row nobody would look for it.
    """
    for name in set(server.builds.exclude(runtime="").values_list("runtime", flat=True)):
        runtimes.runtime(name).forget(server.pk)
    pushed = list(server.builds.exclude(platforms=[]).select_related("server"))
    _remove_tags(server, pushed)
    _remove_all(pushed)
    shutil.rmtree(runtimes.runs_directory() / str(server.pk), ignore_errors=True)
    uploads.remove(server.pk)
