"""Deletes what is older than its retention: rows, directories and images."""

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

# Builds of these deployments are kept, so that they can be started again.
KEPT = (DeploymentStatus.SUCCEEDED, DeploymentStatus.HELD)


def trim() -> None:
    """Deletes rows that are older than their retention, and builds beyond KEEP_DEPLOYMENTS.

    For a periodic task.
    """
    now = timezone.now()
    UsageMetric.objects.older_than(now - timedelta(days=settings.METRICS_RETENTION_DAYS)).delete()
    rollups.trim(now, now - timedelta(days=settings.ROLLUP_RETENTION_DAYS))
    LogLine.objects.filter(at__lt=now - timedelta(days=settings.LOG_RETENTION_DAYS)).delete()
    AuditEntry.objects.filter(at__lt=now - timedelta(days=settings.AUDIT_RETENTION_DAYS)).delete()
    outbox.trim(now - timedelta(days=settings.LOG_RETENTION_DAYS))
    deliveries = apps.get_model("hooks", "Delivery").objects  # this package may not import hooks
    deliveries.filter(received_at__lt=now - timedelta(days=settings.LOG_RETENTION_DAYS)).delete()
    CallsInFlight.objects.filter(at__lt=now - timedelta(days=1)).delete()  # of gateways that died
    _forget_old_runs(now - timedelta(days=settings.LOG_RETENTION_DAYS))
    storage.trim(now - timedelta(hours=settings.STREAM_RETENTION_HOURS))
    uploads.forget_abandoned()
    for server in Server.objects.all():
        forget_old_builds(server)


def _forget_old_runs(before: datetime) -> None:
    """Deletes runs that ended before this time, except the last run of each deployment."""
    last = Deployment.objects.filter(run__isnull=False).values("run")
    Run.objects.filter(ended_at__lt=before).exclude(pk__in=last).delete()


def clear_up_after_lost_workers() -> None:
    """Deletes scratch space and environments of deployments whose worker was lost.

    Images stay until the next deployment, as those of each failed deployment do (`forget_old_builds`).
    """
    for scratch in runtimes.scratch_directory().glob("[0-9]*-[0-9]*"):
        pk, _, claims = scratch.name.partition("-")
        if not Deployment.objects.open().filter(pk=pk, claims=claims).exists():
            shutil.rmtree(scratch, ignore_errors=True)
    wanted = Deployment.objects.filter(Q(status__in=[*OPEN, *KEPT]) | LIVE)
    for build in Build.objects.exclude(directory="").exclude(pk__in=wanted.values("build")):
        _remove(build)


def forget_old_builds(server: Server) -> None:
    """Deletes builds of the server that are not needed any more, and their archives.

    The newest KEEP_DEPLOYMENTS successful builds stay besides the current one, for a rollback. A failed build
    stays until a newer deployment has been tried, because it can be resumed; and as long as a build stays
    that resumed it. While a deployment is open nothing is deleted, because an old tag may name an image that
    is pushed now.
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
    """Returns the ids of builds that run, serve, are held, may be resumed, or may be rolled back to."""
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
    """Adds the builds from which these took over images, directly or through others."""
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
    """Removes tags at the registry. False if that has to be tried again; the rows are needed until then."""
    try:
        _forget(server, builds)
    except UserError as error:
        logger.warning("old tags of %s stay at the registry: %s", server.slug, error)
        return error.permanent
    return True


def _forget(server: Server, builds: Sequence[Build]) -> None:
    """Removes the tags of these builds, if the registry allows it, but no image that another build uses."""
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
    """Deletes the environment or the local images of a build.

    Raises `UserError` if the engine does not answer; the row then still holds what is needed to try again.
    """
    if build.directory:
        shutil.rmtree(build.directory, ignore_errors=True)
    else:
        _remove_local_images(build)
    build.keep(directory="", image="", platforms=[])


def _remove_local_images(build: Build) -> None:
    """Removes our tags from the engine, which deletes the layers that nothing else uses."""
    local = [image_names.local_tag(build, platform) for platform in build.platforms]
    ours = [tag for plain in local for tag in (image_names.bridged(plain), plain)]
    for tag in [*ours, *map(str, image_names.tags_of(build))]:
        runtime_choice.builder().remove(tag)


def remove_everything_of(server: Server) -> None:
    """Deletes what belongs to a server: volume, directories, uploads, images and tags, but not its row.

    Raises `UserError` if the volume cannot be deleted. The row must stay then, so that it is tried again.
    """
    for name in set(server.builds.exclude(runtime="").values_list("runtime", flat=True)):
        runtimes.runtime(name).forget(server.pk)
    pushed = list(server.builds.exclude(platforms=[]).select_related("server"))
    _remove_tags(server, pushed)
    _remove_all(pushed)
    shutil.rmtree(runtimes.runs_directory() / str(server.pk), ignore_errors=True)
    uploads.remove(server.pk)
