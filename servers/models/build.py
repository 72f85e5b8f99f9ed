from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from servers.models.kept import Kept
from servers.models.server import Server


class BuildQuerySet(models.QuerySet["Build"]):
    def startable(self) -> BuildQuerySet:
        """Builds whose image or environment still exists."""
        return self.exclude(NOTHING_MADE)


NOTHING_MADE = Q(image="", directory="")


class Build(Kept):
    """What was made of a source. It is made once; every deployment that starts it again refers to it.

    `number` is that of the deployment that makes it, and is part of its tags. `resumes` is the build of the
    failed deployment that it continues, from which it may take images over. `runtime` is where it can start.
    `images` maps platforms to `{reference, digest, size}`, or without a registry to `{reference, image_id,
    size}`; sizes are in bytes. `image` is what the runtime starts: a reference by digest, or an id in the
    engine. `directory` is a prepared environment, and `command` starts it, or the image. `plan` says how it
    was made (`hosting.sources.plan.Plan.as_json`).
    """

    server = models.ForeignKey(Server, models.CASCADE, related_name="builds")
    number = models.PositiveIntegerField()
    resumes = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="+")
    runtime = models.CharField(max_length=12, blank=True, default="")
    revision = models.CharField(max_length=200, blank=True, default="")
    summary = models.CharField(max_length=300, blank=True, default="")
    plan = models.JSONField(default=dict, blank=True)
    platforms = models.JSONField(default=list)
    images = models.JSONField(default=dict)
    image = models.CharField(max_length=500, blank=True, default="")
    digest = models.CharField(max_length=71, blank=True, default="")
    command = models.JSONField(default=list, blank=True)
    directory = models.CharField(max_length=500, blank=True, default="")

    objects: ClassVar[models.Manager[Build]] = BuildQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["server", "number"], name="build_number_once")]

    def __str__(self) -> str:
        return f"{self.server.slug} build {self.number}"

    @property
    def can_start(self) -> bool:
        """Whether its image or environment exists."""
        return bool(self.directory or self.image)

    @property
    def short_revision(self) -> str:
        """The first 12 characters of the revision, without `sha256:`."""
        return self.revision.removeprefix("sha256:")[:12]
